// Checks every schema of one JSON type below a schema, a body or a parameter: `type` selects, `needs` lists alternatives,
// each a list of keywords that have to be there. A value of the keyword can be required as `keyword=value`.
const NESTED = ["items", "additionalProperties", "contains", "not"];
const NESTED_LISTS = ["allOf", "anyOf", "oneOf", "prefixItems"];
const NESTED_MAPS = ["properties", "patternProperties", "$defs"];

export default function everySchema(target, { type, needs }, { path }) {
  const mistakes = [];
  const visit = (schema, at) => {
    if (schema === null || typeof schema !== "object") return;
    const types = [schema.type].flat();
    if (types.includes(type) && schema.enum === undefined && schema.const === undefined) {
      const met = needs.some((keywords) => keywords.every((keyword) => has(schema, keyword)));
      if (!met) {
        const alternatives = needs.map((keywords) => keywords.join(" and ")).join(", or ");
        mistakes.push({ message: `${type} without ${alternatives}`, path: [...path, ...at] });
      }
    }
    for (const name of NESTED) visit(schema[name], [...at, name]);
    for (const name of NESTED_LISTS) (schema[name] ?? []).forEach((each, index) => visit(each, [...at, name, index]));
    for (const name of NESTED_MAPS) {
      for (const [key, each] of Object.entries(schema[name] ?? {})) visit(each, [...at, name, key]);
    }
  };
  visit(target, []);
  return mistakes;
}

function has(schema, keyword) {
  const [name, value] = keyword.split("=");
  return value === undefined ? schema[name] !== undefined : String(schema[name]) === value;
}
