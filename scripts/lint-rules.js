/** Lint rules for the contract that Redocly does not have and its assertions cannot express. */
export default () => ({
  id: "latchkey",
  rules: {
    oas3: {
      "everything-is-used": everythingIsUsed,
      "scopes-are-described": scopesAreDescribed,
      "schemas-are-described": schemasAreDescribed,
      "answers-are-declared": answersAreDeclared,
      "errors-have-one-format": errorsHaveOneFormat,
      "values-are-bounded": valuesAreBounded,
      "links-are-absolute": linksAreAbsolute,
    },
  },
});

/** Every component and tag is used by an operation, directly or through other components. */
function everythingIsUsed() {
  return {
    Root(root, { location, report }) {
      const used = new Set();
      // Follows each reference once, so that recursive schemas terminate.
      const visit = (value) => {
        if (typeof value !== "object" || value === null) return;
        if (typeof value.$ref === "string" && !used.has(value.$ref)) {
          used.add(value.$ref);
          visit(at(root, value.$ref));
        }
        Object.values(value).forEach(visit);
      };
      visit(root.paths);
      for (const { security = root.security ?? [], tags = [] } of operationsOf(root)) {
        for (const scheme of security.flatMap(Object.keys)) used.add(`#/components/securitySchemes/${scheme}`);
        for (const scope of security.flatMap(Object.values).flat()) used.add(`scope ${scope}`);
        for (const tag of tags) used.add(`tag ${tag}`);
      }
      const reportUnused = (name, ...path) =>
        report({ message: `${name} is never used.`, location: location.child(path) });
      for (const [scheme, flow, scope] of describedScopes(root)) {
        if (used.has(`scope ${scope}`) || openIdScopes.has(scope)) used.add(`#/components/securitySchemes/${scheme}`);
        else reportUnused(scope, "components", "securitySchemes", scheme, "flows", flow, "scopes", scope);
      }
      for (const [section, components] of Object.entries(root.components ?? {})) {
        for (const name of Object.keys(components)) {
          if (!used.has(`#/components/${section}/${name}`)) reportUnused(name, "components", section, name);
        }
      }
      for (const [index, { name }] of (root.tags ?? []).entries()) {
        if (!used.has(`tag ${name}`)) reportUnused(name, "tags", index);
      }
    },
  };
}

/** Clients ask for the scopes of OpenID Connect, whether or not an operation requires them. */
const openIdScopes = new Set(["openid", "profile", "offline_access"]);

/** Every scope that an operation requires is described once, in an oauth2 scheme. */
function scopesAreDescribed() {
  return {
    Root(root, { location, report }) {
      const described = describedScopes(root).map(([, , scope]) => scope);
      for (const [scheme, flow, scope, description] of describedScopes(root)) {
        const path = ["components", "securitySchemes", scheme, "flows", flow, "scopes", scope];
        if (!description) report({ message: `${scope} is not described.`, location: location.child(path) });
        if (described.indexOf(scope) !== described.lastIndexOf(scope)) {
          report({ message: `${scope} is described twice.`, location: location.child(path) });
        }
      }
      for (const [path, item] of Object.entries(root.paths ?? {})) {
        for (const method of methods) {
          for (const scope of (item[method]?.security ?? []).flatMap(Object.values).flat()) {
            if (described.includes(scope)) continue;
            const where = location.child(["paths", path, method, "security"]);
            report({ message: `The scope ${scope} is not described in an oauth2 scheme.`, location: where });
          }
        }
      }
    },
  };
}

/** The scopes of the oauth2 schemes: scheme, flow, scope and description. */
const describedScopes = (root) =>
  Object.entries(root.components?.securitySchemes ?? {}).flatMap(([scheme, { flows }]) =>
    Object.entries(flows ?? {}).flatMap(([flow, { scopes }]) =>
      Object.entries(scopes ?? {}).map(([scope, description]) => [scheme, flow, scope, description]),
    ),
  );

const methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
const operationsOf = ({ paths }) =>
  Object.values(paths ?? {}).flatMap((item) => methods.flatMap((method) => item[method] ?? []));

const at = (root, reference) =>
  reference
    .slice("#/".length)
    .split("/")
    .reduce((node, key) => node?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], root);

/** Every named schema and every member has a description: its own, that of its reference, or in an `allOf`. */
function schemasAreDescribed() {
  return {
    NamedSchemas(schemas, { location, report }) {
      for (const [name, { description }] of Object.entries(schemas)) {
        if (!description) report({ message: `The schema ${name} is not described.`, location: location.child(name) });
      }
    },
    Schema(schema, { location, report, resolve }) {
      // Its members are checked together with the other parts.
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

/** Other sites send browsers to these operations with a form. They change nothing. */
const isNavigation = ({ operationId }) => ["submitAuthorizationRequest", "submitSignOutRequest"].includes(operationId);

/** Every operation declares the responses that can be sent before its handler runs. */
function answersAreDeclared() {
  return {
    Operation(operation, { key, location, report, resolve }) {
      const target = (value) => (value?.$ref ? resolve(value).node : value);
      const hasContent = Object.entries(operation.responses).some(
        ([status, response]) => status.startsWith("2") && target(response)?.content,
      );
      // The ETag of a response that no cache may store is for If-Match.
      const hasETag = Object.values(operation.responses)
        .map((response) => target(response)?.headers)
        .some((headers) => headers?.ETag && target(headers["Cache-Control"])?.schema?.const !== "no-store");
      const schemes = (operation.security ?? []).flatMap(Object.keys);
      const succeeds = Object.keys(operation.responses).some((status) => status.startsWith("2") || status === "303");
      const reasons = [
        ["every operation can succeed", !succeeds, ["200"]],
        ["every request can be invalid", true, ["400"]],
        ["it has a body", operation.requestBody, ["408", "413", "415"]],
        ["its response has a media type", hasContent, ["406"]],
        ["pages of other origins must not change anything", key !== "get" && !isNavigation(operation), ["403"]],
        ["it requires scopes", (operation.security ?? []).flatMap(Object.values).flat().length > 0, ["403"]],
        ["its response has an ETag", hasETag, ["304"]],
        ["it requires credentials", schemes.length > 0, ["401", "500", "503"]],
        ["passwords can be guessed", schemes.includes("basicAuth"), ["429"]],
      ];
      for (const [reason, applies, statuses] of reasons) {
        for (const status of applies ? statuses : []) {
          if (operation.responses[status]) continue;
          report({ message: `${status} is not declared, but ${reason}.`, location: location.child("responses").key() });
        }
      }
    },
  };
}

/** The schema of errors, by media type. */
const errorSchemas = { "application/problem+json": "Problem", "application/json": "OAuthError", "text/html": "Page" };

/** All errors of an operation are problems (RFC 9457), or all are those of OAuth (RFC 6749, section 5.2), or all are pages. */
function errorsHaveOneFormat() {
  return {
    Operation(operation, { location, report, resolve }) {
      const types = new Set();
      for (const [status, response] of Object.entries(operation.responses)) {
        if (!/^[45]/.test(status)) continue;
        const { content = {} } = response.$ref ? resolve(response).node : response;
        const [type, ...others] = Object.keys(content);
        const { schema = {} } = content[type] ?? {};
        const references = [schema, ...(schema.allOf ?? [])].map(({ $ref }) => $ref);
        types.add(type);
        if (others.length === 0 && references.includes(`#/components/schemas/${errorSchemas[type]}`)) continue;
        const where = location.child(["responses", status]).key();
        report({ message: `${status} is no problem, no error of OAuth and no page.`, location: where });
      }
      if (types.size > 1)
        report({ message: "The errors have different formats.", location: location.child("responses") });
    },
  };
}

/** Formats with a fixed length. */
const fixedLength = new Set(["uuid"]);

/**
 * Every string, number and array has bounds, in requests and responses, so that clients know the memory or column width
 * that a value needs. A pattern is not enough, because most are unbounded. `enum` and `const` are.
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
  /** The types of a schema, or those that its keywords imply. */
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
        report({ message: "A value has no type, and therefore no bounds.", location });
      for (const type of types) {
        const found = bounds[type]?.(schema) ?? true;
        if (found !== true) report({ message: `A value of type ${type} ${found}.`, location });
      }
    },
  };
}

/**
 * Every link in a description leads to an address outside the document. Each program that renders the contract gives fragments of
 * its own to operations and schemas, so a link such as `[…](#createUser)` leads nowhere.
 */
function linksAreAbsolute() {
  return {
    any(node, { location, report }) {
      if (typeof node?.description !== "string") return;
      for (const [, target] of node.description.matchAll(/\]\(([^)]*)\)/g)) {
        if (/^https:\/\//.test(target)) continue;
        report({ message: `The link to ${target} is not absolute.`, location: location.child("description") });
      }
    },
  };
}
