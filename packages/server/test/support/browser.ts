/**
 * Finds and starts Chromium for tests. Without Chromium these tests are skipped, but with CI=true they fail.
 */
import { access } from 'node:fs/promises';
import { type Browser, chromium } from 'playwright-core';

const PATHS = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];

/**
 * Starts the browser. Undefined if the machine has none.
 * @throws Error if the machine has none and CI=true.
 */
export async function launchBrowser(): Promise<Browser | undefined> {
  for (const executablePath of PATHS) {
    if (executablePath === undefined) continue;
    const exists = await access(executablePath).then(
      () => true,
      () => false,
    );
    if (!exists) continue;
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
    throw new Error('This test needs Chromium: install it, or set CHROMIUM to its path');
  return undefined;
}
