/**
 * The document of the reference page: its forms contain nothing that does harm if a user sends it unread.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeAPI } from '../../../src/http/server.ts';
import { PLACEHOLDERS } from '../../../src/http/shared/examples.ts';
import { forReference } from '../../../src/http/system/reference.ts';

const document = forReference(await describeAPI());
const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));

test('no input of a parameter is filled, except with its default', () => {
  const parameters = operations.flatMap(({ parameters = [] }) => parameters);
  assert.deepEqual(
    parameters.filter((parameter) => 'example' in parameter || 'examples' in parameter),
    [],
  );
  const { description } = parameters.find(({ name }) => name === 'accountID') ?? {};
  assert.match(description ?? '', /Example: `10000000-0000-4000-8000-000000000001`$/);
});

test('no body is filled with the IDs, tokens and secrets of the examples', () => {
  const bodies = operations.flatMap(({ requestBody }) => Object.entries(requestBody?.content ?? {}));
  assert.ok(bodies.length > 10);
  for (const [type, { schema, example, examples = {} }] of bodies) {
    const text = JSON.stringify({ example, examples });
    for (const placeholder of Object.values(PLACEHOLDERS)) assert.ok(!text.includes(placeholder), text);
    if (type !== 'multipart/form-data') {
      // Without an example, Swagger UI invents a body of texts such as "string".
      assert.ok(example !== undefined || Object.keys(examples).length > 1, JSON.stringify(schema));
      continue;
    }
    // Swagger UI invents values for objects in forms.
    assert.deepEqual([example, examples], [undefined, {}]);
    const fields = Object.entries(schema.properties ?? {}).map(([name, field]) => [
      name,
      field.type,
      field.default,
    ]);
    assert.deepEqual(fields, [
      ['image', 'string', undefined],
      ['metadata', 'string', ''],
    ]);
  }
});

test('a JSON body is filled with a hint that the server rejects, and its examples stand above it', () => {
  const bodies = operations.flatMap(({ requestBody }) => (requestBody ? [requestBody] : []));
  const json = bodies.filter(({ content = {} }) => 'application/json' in content);
  assert.ok(json.length > 8);
  for (const { description, content } of json as { description?: string; content?: object }[]) {
    assert.match(description ?? '', /```json\n\{/);
    const { example } = (content as Record<string, { example?: unknown }>)['application/json'] ?? {};
    assert.equal(typeof example, 'string');
  }
});

test('the bytes of an image are not shown as a text', () => {
  const media = operations.flatMap(({ responses }) =>
    Object.values(responses).flatMap(({ content = {} }) => Object.values(content)),
  );
  const images = media.filter(({ schema }) => schema.format === 'binary');
  assert.ok(images.length >= 7);
  for (const image of images) assert.ok('example' in image);
});

test('the API is found from the address of the document, with and without a prefix', () => {
  const [server] = (document as unknown as { servers: { url: string }[] }).servers;
  for (const base of ['https://vitrine.example.com/', 'https://example.com/library/'])
    assert.equal(new URL(server?.url ?? '', new URL('docs/api/openapi.json', base)).href, base);
});
