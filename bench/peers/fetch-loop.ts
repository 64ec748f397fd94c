/**
 * Uploads files in a bare fetch loop, `parallel` at a time. It checks the status of every response.
 */
import { openAsBlob } from 'node:fs';
import { answerQuestions } from './script.ts';

interface Question {
  readonly files: readonly string[];
  readonly parallel: number;
  readonly url: string;
  readonly authorization: string;
}

/** Returns the milliseconds from the first request to the last response. */
answerQuestions<Question>(async ({ files, parallel, url, authorization }) => {
  const remaining = files.values();
  const lane = async () => {
    for (const file of remaining) {
      const form = new FormData();
      form.append('image', await openAsBlob(file), 'image');
      const response = await fetch(url, { method: 'POST', body: form, headers: { authorization } });
      const text = await response.text();
      if (response.status !== 201) throw new Error(`an upload got ${response.status}: ${text}`);
    }
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: parallel }, lane));
  return performance.now() - start;
});
