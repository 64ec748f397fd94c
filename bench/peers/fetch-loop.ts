/**
 * Uploads without a command line: a loop of fetch, so many at once, each file read and sent as a form. It checks every
 * answer and does nothing else.
 */
import { openAsBlob } from 'node:fs';
import { answerQuestions } from './script.ts';

interface Question {
  readonly files: readonly string[];
  readonly parallel: number;
  readonly url: string;
  readonly authorization: string;
}

/** Answers with the milliseconds from the first request to the last answer. */
answerQuestions<Question>(async ({ files, parallel, url, authorization }) => {
  const left = files.values();
  const lane = async () => {
    for (const file of left) {
      const form = new FormData();
      form.append('image', await openAsBlob(file), 'image');
      const response = await fetch(url, { method: 'POST', body: form, headers: { authorization } });
      const text = await response.text();
      if (response.status !== 201) throw new Error(`an upload was answered ${response.status}: ${text}`);
    }
  };
  const begun = performance.now();
  await Promise.all(Array.from({ length: parallel }, lane));
  return performance.now() - begun;
});
