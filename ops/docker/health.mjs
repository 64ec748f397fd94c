/**
 * Asks the server in this container for a probe, because the image has no curl. Exit code 0: it answered 200.
 *
 * `node health.mjs [PATH]`; default: `/livez`
 */
const path = process.argv[2] ?? '/livez';
try {
  const url = new URL(path, `http://127.0.0.1:${process.env.VITRINE_PORT ?? 4100}`);
  const response = await fetch(url, { signal: AbortSignal.timeout(4_000) });
  process.stdout.write(`${response.status} ${await response.text()}\n`);
  process.exitCode = response.ok ? 0 : 1;
} catch (error) {
  process.stderr.write(`${path}: ${error.cause?.message ?? error.message}\n`);
  process.exitCode = 1;
}
