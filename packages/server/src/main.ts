/**
 * The process: environment, terminal, signals. The only file that reads process.env.
 */
import { createApp, StartError } from './app.ts';
import { ConfigError, loadConfig } from './config.ts';
import { IMAGE_FORMAT_NAMES } from './image.ts';
import { createLog } from './telemetry/log.ts';

/** The time that running requests have after SIGTERM and the drain, in milliseconds. */
const SHUTDOWN_TIMEOUT = 30_000;

async function main(): Promise<void> {
  const config = loadConfig(process.env);
  const log = createLog({ level: config.logLevel });
  const app = await createApp(config, log);
  const { url, firstKey } = await app.listen();
  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) process.exit(1);
    stopping = true;
    const { drainSeconds } = config;
    const text =
      drainSeconds > 0 ? `requests are accepted for ${drainSeconds} s` : 'waiting for running requests';
    log.info({ signal }, `stopping: ${text}`);
    const timeout = setTimeout(
      () => {
        log.warn('some requests did not finish in time');
        process.exit(0);
      },
      drainSeconds * 1_000 + SHUTDOWN_TIMEOUT,
    );
    timeout.unref();
    app.close().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'closing failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // After the signals have their handlers: a supervisor that reads this line may send one at once.
  log.info({ url }, `listening on ${url}`);
  if (firstKey) process.stdout.write(greeting(url, firstKey));
}

/** The message of the first start: credentials, an upload command and the link. */
function greeting(url: string, key: { accountID: string; publicKey: string; secretKey: string }): string {
  return `
Welcome to Vitrine. This is your new account with its key. The secret key is shown only once.

  account     ${key.accountID}
  public key  ${key.publicKey}
  secret key  ${key.secretKey}

Upload an image (${IMAGE_FORMAT_NAMES}):

  curl -u '${key.publicKey}:${key.secretKey}' -F image=@photo.jpg ${url}/accounts/${key.accountID}/images

The "link" in the answer is public. Open it in a browser, or add ?size=800x0 for another size.
API reference: ${url}/docs/api

`;
}

/** Errors that the operator can fix print one line. Other errors print a stack. */
function explain(error: unknown): string {
  if (error instanceof ConfigError || error instanceof StartError) return error.message;
  const { code, message, stack } = error as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE')
    return `${message}: another program uses this port. Choose another VITRINE_PORT.`;
  if (code === 'EACCES' || code === 'EADDRNOTAVAIL') return `${message}: see VITRINE_HOST and VITRINE_PORT.`;
  return stack ?? String(error);
}

main().catch((error: unknown) => {
  process.stderr.write(`${explain(error)}\n`);
  process.exit(1);
});
