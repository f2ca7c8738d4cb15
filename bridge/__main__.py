"""`python -m bridge` is the same as `sms-bridge`."""

from bridge.cli import main

main()
