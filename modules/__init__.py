"""The bounded contexts. Each package is a Django app that never imports another one of them."""
