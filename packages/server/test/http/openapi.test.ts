import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeAPI } from '../../src/http/server.ts';

interface Document {
  readonly paths: Record<string, Record<string, { responses: Record<string, { content?: object }> }>>;
}

test('the document gives a body to every answer that has one, and to no other', async () => {
  const { paths } = (await describeAPI()) as Document;
  const answers = Object.values(paths)
    .flatMap((methods) => Object.values(methods))
    .flatMap(({ responses }) => Object.entries(responses));
  assert.ok(answers.some(([status]) => status === '204'));
  for (const [status, { content }] of answers) {
    assert.equal(content === undefined, status === '204' || status === '304', status);
  }
});
