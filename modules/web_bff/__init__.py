"""The web's backend for frontend: the pages of a customer's browser, each answered from tables shaped like the page.

Almost everything in it is a copy, made from the streams of `users` and `orders`, and can be rebuilt from them at any
time. Only the checkouts are its own: it accepts a customer's order while `orders` may be down, and requests it by
command. It publishes no event and accepts no command.

What it promises to a page:

- Each request is answered from this module's own tables, in a number of queries that does not grow with the data. It
  answers while its sources are down.
- What it shows is right but may be late, usually by milliseconds. An order that its module has just accepted is
  `order_not_found` here until its event arrives: a page that has placed an order shows the answer that it got, or
  asks again.
- An accepted checkout is not lost. It is pending until `orders` has answered, and then placed or refused for good.
- Messages of different streams arrive in any order. Orders are shown even before their customer's profile has arrived;
  until then, `me` on the home page is null.
- An order shows its products' names and prices as they were when it was placed; the catalogue shows the current ones.
- A customer sees their own orders. Another customer's are not found.

Stock, and the actions that an order allows, are the business of `orders`: a page asks `orders`, never this module.

The files:

    acl       the messages of users and orders, with the fields that a page shows; the command to orders
    admin     read-only pages of the tables
    api       v1: the pages
    apps      routes, scopes, subscriptions
    commands  check out
    handlers  the projections
    models    their tables, and the checkouts
    queries   what the pages show
"""
