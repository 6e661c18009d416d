"""Groups of commands that answer an unknown one with those that there are."""

from __future__ import annotations

import click

from nas.errors import nearest


class ListedGroup(click.Group):
    """A group of click's in which an unknown command is answered with the nearest one and a list."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolves the command as click does."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            ctx.fail(f"no command '{args[0]}'; known: {', '.join(known)}{nearest(args[0], known)}")
        return super().resolve_command(ctx, args)
