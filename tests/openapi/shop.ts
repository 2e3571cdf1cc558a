// A program in TypeScript against the types that openapi-typescript makes of the document: it compiles, or a type changed.
// `@ts-expect-error` fails where the line below it has no error, so types that became `any` fail too.
import type { components, operations, paths } from "./whole";

type Json<Message> = Message extends { content: { "application/json": infer Body } } ? Body : never;
type ProblemOf<Message> = Message extends { content: { "application/problem+json": infer Body } } ? Body : never;

type PlaceOrder = operations["orders_place_order"];
type NewOrder = Json<PlaceOrder["requestBody"]>;
type Order = Json<PlaceOrder["responses"][201]>;
type Refusal = ProblemOf<PlaceOrder["responses"][400]>;
type Orders = Json<paths["/api/v1/orders"]["get"]["responses"][200]>;
type Product = components["schemas"]["OrdersProduct"];

export const order: NewOrder = { lines: [{ sku: "MAP-PANGAEA", quantity: 2 }] };

export function total(placed: Order): string {
  const cancelled: string | null = placed.cancelled_at;
  return cancelled === null ? `${placed.total.amount / 100} ${placed.total.currency}` : "";
}

export function following(page: Orders): string | null | undefined {
  return page.results.some((each) => each.status === "placed") ? page.next : null;
}

export function reason(refusal: Refusal): string {
  return refusal.code === "validation_failed" ? refusal.detail : refusal.title;
}

export function affordable(products: Product[], limit: number): Product[] {
  return products.filter((each) => each.in_stock > 0 && each.price.amount <= limit);
}

// @ts-expect-error: a quantity is a number
export const counted: NewOrder = { lines: [{ sku: "MAP-PANGAEA", quantity: "2" }] };
// @ts-expect-error: a line has a sku
export const nameless: NewOrder = { lines: [{ quantity: 2 }] };
// @ts-expect-error: there is no such member
export const misspelt: NewOrder = { lines: [{ sku: "MAP-PANGAEA", quantity: 2, quantitiy: 3 }] };
// @ts-expect-error: an order is placed or cancelled
export const state = (placed: Order): boolean => placed.status === "paid";
