import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { describeAPI } from '../../src/http/server.ts';

interface Answer {
  readonly $ref?: string;
  readonly content?: object;
}

interface Document {
  readonly paths: Record<string, Record<string, { responses: Record<string, Answer> }>>;
  readonly components: { readonly responses: Record<string, Answer> };
}

const PREFIX = '#/components/responses/';

describe('the OpenAPI document', () => {
  let shared: Document['components']['responses'];
  let answers: [string, Answer][];
  before(async () => {
    const { paths, components } = (await describeAPI()) as Document;
    shared = components.responses;
    answers = Object.values(paths)
      .flatMap((methods) => Object.values(methods))
      .flatMap(({ responses }) => Object.entries(responses));
  });

  test('gives a body to each answer except 204 and 304', () => {
    assert.ok(answers.some(([status]) => status === '204'));
    for (const [status, answer] of answers) {
      const { content } = answer.$ref ? (shared[answer.$ref.slice(PREFIX.length)] ?? {}) : answer;
      assert.equal(content === undefined, status === '204' || status === '304', status);
    }
  });

  test('names each shared answer once, and operations refer to it', () => {
    const references = new Set(answers.flatMap(([, { $ref }]) => $ref ?? []));
    assert.deepEqual(
      [...references].sort(),
      Object.keys(shared)
        .map((name) => PREFIX + name)
        .sort(),
    );
    const texts = new Set(Object.values(shared).map((answer) => JSON.stringify(answer)));
    const copies = answers.filter(([, answer]) => texts.has(JSON.stringify(answer)));
    assert.deepEqual(copies, []);
  });
});
