"""The subcommands of `phasm`. Each module has `register(app)`, which adds its command to the typer application."""
