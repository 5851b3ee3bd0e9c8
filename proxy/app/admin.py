"""Opens the admin listener, for one process or for the supervisor of several."""

from typing import TYPE_CHECKING

from proxy.app.errors import CannotListen
from proxy.config.compile import Admin as AdminSettings
from proxy.edge.admin import Admin, MetricsPage, Readiness, StatusPage
from proxy.net.addresses import bind, refuse_taken

if TYPE_CHECKING:
    from proxy.edge.inspector.api import Api

_ANOTHER_ADMIN = " (that is the admin listener: choose another with --admin HOST:PORT or `admin:`, or switch it off)"


async def open_admin(
    settings: AdminSettings, state: Readiness, metrics: MetricsPage, status: StatusPage, api: "Api | None" = None
) -> Admin:
    """Opened last: who finds it there finds the proxy too; `api` None is no inspector. Errors: CannotListen."""
    where = settings.where
    made = Admin(state, metrics, status, settings.hosts, settings.token, api)
    try:
        if where.path is not None:
            refuse_taken(where.path)
        bound = [] if where.path is not None else await bind(where.host, where.port or 0)
        await made.listen(bound, where.host, where.path)
    except OSError as error:
        raise CannotListen(str(where), error, _ANOTHER_ADMIN) from error
    return made
