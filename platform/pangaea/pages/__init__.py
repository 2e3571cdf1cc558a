"""Pages for people beside the API: the start page, and one page per problem. Clients get the same content as JSON.

    layout         the frame of a page, its policy, and the choice between HTML and JSON
    start          the page at `/`: what runs here and where its parts are
    problems       the page at a problem's `type`
    deprecations   the page about a deprecated version of a resource

A gateway before several services answers `/` with a page that was rendered with its configuration, because no service
knows the others; `/problems/…` and `/deprecations/…` it passes on to a service that knows the code or has the route.
"""
