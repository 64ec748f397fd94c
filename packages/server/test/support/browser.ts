/**
 * Finds and starts a real Chromium for tests. Without one they are skipped, and fail where CI=true.
 */
import { access } from 'node:fs/promises';
import { type Browser, chromium } from 'playwright-core';

const PLACES = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];

/** A running browser; undefined if the machine has none. @throws Error if it has none and CI=true. */
export async function launchBrowser(): Promise<Browser | undefined> {
  for (const executablePath of PLACES) {
    if (executablePath === undefined) continue;
    const found = await access(executablePath).then(
      () => true,
      () => false,
    );
    if (!found) continue;
    return chromium.launch({
      executablePath,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--disable-background-networking',
        '--no-first-run',
      ],
    });
  }
  if (process.env.CI === 'true')
    throw new Error('Chromium is needed for this test: install it, or set CHROMIUM');
  return undefined;
}
