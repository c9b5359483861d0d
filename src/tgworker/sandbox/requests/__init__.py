"""What the sandbox answers, one module for each of Telegram's namespaces; `table` is the list of it all."""
