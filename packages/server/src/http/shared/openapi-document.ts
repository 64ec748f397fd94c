/**
 * The shape of the OpenAPI document, for the functions that change it after the generator has made it.
 */

/** The document, as far as it is used here. */
export interface OpenAPIDocument {
  readonly info: { readonly title: string; readonly description?: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: Components;
}

export interface Components {
  readonly schemas?: Readonly<Record<string, Schema>>;
  readonly responses: Readonly<Record<string, Content>>;
  readonly examples?: Readonly<Record<string, NamedExample>>;
}

export interface NamedExample {
  readonly summary?: string;
  readonly value?: unknown;
}

/** One method of one path. */
export interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: Content;
  readonly responses: Readonly<Record<string, Content>>;
}

export interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly description?: string;
  readonly required?: boolean;
  readonly schema: Schema;
  readonly example?: unknown;
}

/** A body by media type, or a reference to it. */
export interface Content {
  readonly $ref?: string;
  readonly content?: Readonly<Record<string, Media>>;
}

export interface Media {
  readonly schema: Schema;
  readonly example?: unknown;
  /** By name: references to `components.examples`, or the examples themselves. */
  readonly examples?: Readonly<Record<string, NamedExample & { readonly $ref?: string }>>;
}

/** A JSON Schema. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly format?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
}

export function mapValues<From, To>(
  object: Readonly<Record<string, From>>,
  map: (value: From, name: string) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, map(value, name)]));
}
