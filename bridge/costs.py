"""What the bridge knows of money: the account's currency, and what a segment costs where."""

from bridge.domain.costs import Prices
from bridge.domain.house import House
from bridge.ports import Balance, Transaction

CURRENCY = "currency"
"""In the database: the account's, as it was told with the balance."""


def learn_currency(tx: Transaction, balance: Balance) -> None:
    """The account's own word for its money."""
    if tx.meta(CURRENCY) != balance.currency:
        tx.set_meta(CURRENCY, balance.currency)


def prices(tx: Transaction, house: House) -> Prices:
    """What was paid last; where nothing was yet, what the config says."""
    return Prices({**house.sms.prices, **tx.prices()})
