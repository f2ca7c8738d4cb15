"""The whole product on one machine with no account: what stands in for Mobizon and Telegram."""
