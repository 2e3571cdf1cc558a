"""The shop: a catalogue of products with their stock, and the customers' orders.

It owns prices, stock and orders. Customers belong to `users`; this module keeps a small replica of them. What it
promises:

- Stock is never oversold: an order takes all of its lines or none, and stock below zero cannot be stored.
- A price is the catalogue's at the moment of the order and is stored with it. A client cannot send one.
- An order is `placed`, then perhaps `cancelled`, which gives its stock back exactly once. Cancelling again is refused
  with `order_not_cancellable`. A client that lost the first answer sees in `order_status` that the order is cancelled.
- An order can also be requested by a command, `orders.place_order`, without waiting. Each command is answered by an
  event, `orders.order_placed` or `orders.order_refused`. One checkout leads to one order however often it is requested.
- Every change publishes its event in the same transaction: `orders.order_placed`, `orders.order_cancelled` or
  `orders.product_changed`. The latter is also published for changes that no command made. No event has a stock level,
  which would be out of date on arrival.
- A customer known as deactivated may not order. An unknown customer may: their token proves that the account exists.
- A product that is not for sale is answered like one that does not exist.

The files:

    acl       the events of users, as customers
    admin     the pages of operators
    api       v1: the caller's orders, the catalogue
    apps      routes, scopes, subscriptions
    commands  place and cancel an order, change the catalogue
    demo      a small catalogue to try things with
    handlers  the replica of the customers, and orders by command
    messages  the published language
    models    Product, Order, Customer; what is captured of the products
    queries   orders and products
    rules     prices and states: pure
"""
