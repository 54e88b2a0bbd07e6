/** Rules of the contract that Redocly has not, and that its assertions cannot say. */
export default () => ({
  id: "latchkey",
  rules: {
    oas3: {
      "everything-is-used": everythingIsUsed,
      "schemas-are-described": schemasAreDescribed,
      "answers-are-declared": answersAreDeclared,
      "values-are-bounded": valuesAreBounded,
    },
  },
});

/** Each component and each tag is of use to some operation, and not only to another that is of none. */
function everythingIsUsed() {
  return {
    Root(root, { location, report }) {
      const used = new Set();
      // References are followed once: a recursive schema comes to an end.
      const look = (value) => {
        if (typeof value !== "object" || value === null) return;
        if (typeof value.$ref === "string" && !used.has(value.$ref)) {
          used.add(value.$ref);
          look(at(root, value.$ref));
        }
        Object.values(value).forEach(look);
      };
      look(root.paths);
      for (const { security = root.security ?? [], tags = [] } of operationsOf(root)) {
        for (const scheme of security.flatMap(Object.keys)) used.add(`#/components/securitySchemes/${scheme}`);
        for (const tag of tags) used.add(`tag ${tag}`);
      }
      const complain = (name, ...place) =>
        report({ message: `${name} is never used.`, location: location.child(place) });
      for (const [section, components] of Object.entries(root.components ?? {})) {
        for (const name of Object.keys(components)) {
          if (!used.has(`#/components/${section}/${name}`)) complain(name, "components", section, name);
        }
      }
      for (const [index, { name }] of (root.tags ?? []).entries()) {
        if (!used.has(`tag ${name}`)) complain(name, "tags", index);
      }
    },
  };
}

const methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
const operationsOf = ({ paths }) =>
  Object.values(paths ?? {}).flatMap((item) => methods.flatMap((method) => item[method] ?? []));

const at = (root, reference) =>
  reference
    .slice("#/".length)
    .split("/")
    .reduce((node, key) => node?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], root);

/** Each schema with a name is described, and each member: there, or where its reference leads, or beside it in an `allOf`. */
function schemasAreDescribed() {
  return {
    NamedSchemas(schemas, { location, report }) {
      for (const [name, { description }] of Object.entries(schemas)) {
        if (!description) report({ message: `The schema ${name} is not described.`, location: location.child(name) });
      }
    },
    Schema(schema, { location, report, resolve }) {
      // Its members are looked at together with those beside it.
      if (/\/allOf\/\d+$/.test(location.pointer)) return;
      const target = (value) => (value?.$ref ? target(resolve(value).node) : value);
      const parts = (value) => [value, ...(value?.allOf ?? []).flatMap((part) => parts(target(part)))];
      const members = parts(schema).flatMap((part) => Object.entries(part?.properties ?? {}));
      const described = new Set(members.filter(([, member]) => target(member)?.description).map(([name]) => name));
      for (const name of new Set(members.map(([name]) => name))) {
        if (described.has(name)) continue;
        report({ message: `The member ${name} is not described.`, location: location.child(["properties", name]) });
      }
    },
  };
}

/** Each operation declares the answers that are given before its handler is asked. */
function answersAreDeclared() {
  return {
    Operation(operation, { key, location, report, resolve }) {
      const target = (value) => (value?.$ref ? resolve(value).node : value);
      const hasContent = Object.entries(operation.responses).some(
        ([status, response]) => status.startsWith("2") && target(response)?.content,
      );
      const hasETag = Object.values(operation.responses).some((response) => target(response)?.headers?.ETag);
      const schemes = (operation.security ?? []).flatMap(Object.keys);
      const reasons = [
        ["every request can be unsound", true, ["400"]],
        ["it takes a body", operation.requestBody, ["408", "413", "415"]],
        ["its answer has a media type", hasContent, ["406"]],
        ["pages of other origins may not change anything", key !== "get", ["403"]],
        ["its answer has an ETag", hasETag, ["304"]],
        ["it takes credentials", schemes.length > 0, ["401", "500", "503"]],
        ["passwords can be guessed", schemes.includes("basicAuth"), ["429"]],
      ];
      for (const [reason, applies, statuses] of reasons) {
        for (const status of applies ? statuses : []) {
          if (operation.responses[status]) continue;
          report({ message: `There is no ${status}, but ${reason}.`, location: location.child("responses").key() });
        }
      }
    },
  };
}

/** Formats whose values all have the same length. */
const fixedLength = new Set(["uuid"]);

/**
 * Each string, number and array has bounds, in requests and in responses: nobody has to guess how much memory or how wide a
 * column a value needs. A pattern alone is not enough, since most have no end; `enum` and `const` are.
 */
function valuesAreBounded() {
  const bounds = {
    string: ({ maxLength, format }) => maxLength !== undefined || fixedLength.has(format) || "has no maxLength",
    array: ({ maxItems }) => maxItems !== undefined || "has no maxItems",
    number: ({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }) =>
      ((minimum ?? exclusiveMinimum) !== undefined && (maximum ?? exclusiveMaximum) !== undefined) ||
      "has no minimum or no maximum",
  };
  const keywords = {
    string: ["pattern", "minLength", "format"],
    array: ["items", "prefixItems", "minItems", "contains"],
    number: ["multipleOf", "minimum", "maximum"],
  };
  /** The types that a schema names, or that the keywords of one without a type are about. */
  const typesOf = (schema) =>
    schema.type === undefined
      ? Object.keys(keywords).filter((type) => keywords[type].some((keyword) => keyword in schema))
      : [schema.type].flat().map((type) => (type === "integer" ? "number" : type));
  const constrains = (schema) =>
    ["type", "enum", "const", "allOf", "anyOf", "oneOf", "not", "properties", "$ref"].some((name) => name in schema);
  return {
    Schema(schema, { location, report, parent }) {
      if (typeof schema !== "object" || "enum" in schema || "const" in schema) return;
      // A part of an `allOf` may add what no other part has, such as a description.
      const isPart = /\/allOf\/\d+$/.test(location.pointer) || parent?.additionalProperties === schema;
      const types = typesOf(schema);
      if (types.length === 0 && !constrains(schema) && !isPart)
        report({ message: "A value has a type, and with it bounds.", location });
      for (const type of types) {
        const found = bounds[type]?.(schema) ?? true;
        if (found !== true) report({ message: `A value of type ${type} ${found}.`, location });
      }
    },
  };
}
