"""The addresses of this process: those of its modules, the documents of its API, the admin.

The probes are not here: `pangaea.health.ProbeMiddleware` answers them before anything else.
"""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerView

from pangaea import modules
from pangaea.api import schema

handler400 = "pangaea.api.fallback.bad_request"
handler403 = "pangaea.api.fallback.permission_denied"
handler404 = "pangaea.api.fallback.not_found"
handler500 = "pangaea.api.fallback.server_error"

urlpatterns = [
    *(pattern for module in modules.installed() for pattern in schema.patterns_of(module)),
    path("", RedirectView.as_view(url="/api/docs/")),
    path("api/docs/", SpectacularSwaggerView.as_view(url="/api/schema/"), name="docs"),
    path("api/schema/", schema.schema, name="schema"),
    path("api/schema/<slug:module>/", schema.schema, name="module-schema"),
    path("admin/", admin.site.urls),
]
