"""The appearance of the operators' site. Its sidebar is built from the installed apps: `pangaea.ops.navigation`."""

from collections.abc import Sequence
from typing import Any


def unfold(labels: Sequence[str], *, shares_host: bool, documents_public: bool) -> dict[str, Any]:
    """Unfold's settings. Where several admins share a host, each names its modules and links to its own API."""
    site = f"/api/docs/{min(labels)}/" if shares_host else "/"
    name = f"Pangaea: {', '.join(labels)}" if shares_host else "Pangaea"
    return {
        "SITE_TITLE": name,
        "SITE_HEADER": name,
        "SITE_SUBHEADER": "Operations",
        "SITE_SYMBOL": "public",
        "SITE_URL": site if documents_public else None,
        "SHOW_BACK_BUTTON": True,
        "SHOW_VIEW_ON_SITE": False,
        "DASHBOARD_CALLBACK": "pangaea.ops.navigation.overview",
        "ENVIRONMENT": "pangaea.ops.navigation.environment",
        "SIDEBAR": {"show_search": True, "navigation": "pangaea.ops.navigation.sidebar"},
    }
