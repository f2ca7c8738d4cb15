"""The Telegram edge: who may speak, what they may say, and how things look in a chat.

`bot.app.TelegramBot` is the way in; importing it brings in aiogram, which takes its time.
"""
