"""How the operators' site looks. Its sidebar is made of what is installed, see `pangaea.ops.navigation`."""

UNFOLD = {
    "SITE_TITLE": "Pangaea",
    "SITE_HEADER": "Pangaea",
    "SITE_SUBHEADER": "Operations",
    "SITE_SYMBOL": "public",
    "SHOW_BACK_BUTTON": True,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "pangaea.ops.navigation.overview",
    "ENVIRONMENT": "pangaea.ops.navigation.environment",
    "SIDEBAR": {"show_search": True, "navigation": "pangaea.ops.navigation.sidebar"},
}
