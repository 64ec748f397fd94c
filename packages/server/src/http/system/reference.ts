/**
 * The API reference at `/docs/api`: the page, its script, and the OpenAPI document that the page shows.
 *
 * One click sends a form of the page. So the document of the page differs from `/openapi.json`: its forms
 * contain nothing that does harm if a user sends it unread.
 */
import { PLACEHOLDERS } from '../shared/examples.ts';
import {
  type Components,
  type Content,
  type Media,
  mapValues,
  type NamedExample,
  type OpenAPIDocument,
  type Parameter,
  type Schema,
} from '../shared/openapi-document.ts';

/** All URLs are relative to `/docs/api`. A proxy may serve the page under a prefix. */
export const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Vitrine API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="api/swagger-ui.css">
</head>
<body>
<main id="reference"></main>
<script src="api/swagger-ui-bundle.js"></script>
<script src="api/start.js"></script>
</body>
</html>
`;

/**
 * Changes to Swagger UI. The link above the title would lead to the document of the page. The list of servers
 * would show the relative URL of the only one. An empty field of a form would be sent, unless the user
 * unchecks "Send empty value".
 */
export const SCRIPT = `const changes = ({ React }) => ({
  components: { InfoUrl: () => null, ServersContainer: () => null },
  wrapComponents: {
    ParameterIncludeEmpty: (Original) => (props) =>
      React.createElement(Original, {
        ...props,
        isIncludedOptions: { ...props.isIncludedOptions, defaultValue: false },
      }),
  },
});

window.ui = SwaggerUIBundle({
  url: 'api/openapi.json',
  domNode: document.getElementById('reference'),
  deepLinking: true,
  validatorUrl: null,
  plugins: [changes],
});
`;

/** The API is two folders above the document of the page. */
const SERVERS = [{ url: '../../' }];

/** The document that the page shows, from the one at `/openapi.json`. */
export function forReference(document: OpenAPIDocument): OpenAPIDocument {
  const { info, paths, components } = document;
  return {
    ...document,
    info: {
      ...info,
      description: `${info.description}\n\nThe OpenAPI document: [openapi.json](../openapi.json).`,
    },
    ...{ servers: SERVERS },
    paths: mapValues(paths, (operations) =>
      mapValues(operations, ({ parameters, requestBody, ...operation }) => ({
        ...operation,
        ...(parameters && { parameters: parameters.map(withEmptyInput) }),
        ...(requestBody && { requestBody: formOf(requestBody, components) }),
        responses: mapValues(operation.responses, (response) => samplesOf(response, components)),
      })),
    ),
    components: {
      ...components,
      responses: mapValues(components.responses, (response) => samplesOf(response, components)),
    },
  };
}

/** The example stands beside the input, not in it. */
function withEmptyInput({ example, ...parameter }: Parameter): Parameter {
  if (example === undefined) return parameter;
  return { ...parameter, description: `${parameter.description ?? ''} Example: \`${example}\`` };
}

/** The content of the input for a JSON body. */
const BODY_HINT = 'Write a JSON object here. Examples stand above.';

function formOf(body: Content, components: Components): Content & { readonly description?: string } {
  const json = body.content?.['application/json'];
  return {
    ...(json && { description: examplesText(examplesOf(json, components)) }),
    content: mapValues(body.content ?? {}, (media, type) => {
      const examples = examplesOf(media, components);
      if (type === 'multipart/form-data')
        return { schema: withEmptyFields(media.schema, Object.values(examples), components) };
      // A filled body would change an image or a product if it is sent unread. The server rejects a text.
      if (type === 'application/json') return { schema: media.schema, example: BODY_HINT };
      return withExamples(media, mapValues(examples, withoutPlaceholders));
    }),
  };
}

/** The examples beside the input, as Markdown. */
function examplesText(examples: Readonly<Record<string, NamedExample>>): string {
  return Object.values(examples)
    .map(
      ({ summary = 'Example', value }) =>
        `${summary}:\n\n\`\`\`json\n${JSON.stringify(value, null, 2)}\n\`\`\``,
    )
    .join('\n\n');
}

/**
 * A form with empty inputs. Swagger UI invents a value for an object and sends it. An upload would then get
 * an invented alternative text.
 */
function withEmptyFields(schema: Schema, examples: readonly NamedExample[], components: Components): Schema {
  const form = resolve(schema, components);
  const values: Record<string, unknown> = Object.assign({}, ...examples.map(({ value }) => value));
  const properties = mapValues(form.properties ?? {}, (property, name) => {
    const { type, description } = resolve(property, components);
    if (type !== 'object') return property;
    const example = JSON.stringify(values[name]);
    return { type: 'string', default: '', description: `${description} Example: \`${example}\`` };
  });
  return { ...form, properties };
}

function samplesOf(response: Content, components: Components): Content {
  if (!response.content) return response;
  const describe = (media: Media): Media =>
    // Swagger UI would show the text `string` as the bytes of an image.
    media.schema.format === 'binary'
      ? { ...media, example: 'The bytes of the image.' }
      : withExamples(media, examplesOf(media, components));
  return { ...response, content: mapValues(response.content, describe) };
}

function examplesOf({ examples = {} }: Media, components: Components): Record<string, NamedExample> {
  return mapValues(examples, ({ $ref = '' }) => components.examples?.[nameOf($ref)] ?? {});
}

/** A single example needs no list to choose from. */
function withExamples({ schema }: Media, examples: Readonly<Record<string, NamedExample>>): Media {
  const [first, ...others] = Object.values(examples);
  return others.length === 0 ? { schema, example: first?.value } : { schema, examples };
}

const INVENTED: ReadonlySet<unknown> = new Set(Object.values(PLACEHOLDERS));

/** A copy of an example with empty IDs, tokens and secrets. The user fills them in. */
function withoutPlaceholders(example: NamedExample): NamedExample {
  return JSON.parse(JSON.stringify(example), (_name, value) => (INVENTED.has(value) ? '' : value));
}

function resolve(schema: Schema, { schemas }: Components): Schema {
  return (schema.$ref !== undefined && schemas?.[nameOf(schema.$ref)]) || schema;
}

/** The name of a component in a reference. */
function nameOf(reference: string): string {
  return reference.slice(reference.lastIndexOf('/') + 1);
}
