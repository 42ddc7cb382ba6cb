"""The agent: rigs, links, conversations, duties, ledger, reports and the command line."""
