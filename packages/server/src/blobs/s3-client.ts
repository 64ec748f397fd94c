/** The client of the SDK, without the parts of it that the driver does itself. */
import { S3Client } from '@aws-sdk/client-s3';
import type { S3Location } from './location.ts';

/** The most connections to the store. More calls wait for one, until their deadline. */
const MAX_SOCKETS = 64;

function ignore(): void {}

/** The SDK would print a line to the console for each failed upload, also for expected ones. */
const SILENT = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore };

/** A client that neither retries nor checks bodies by itself. */
export function createClient({ endpoint, region, style }: S3Location): S3Client {
  const agent = { keepAlive: true, maxSockets: MAX_SOCKETS };
  const client = new S3Client({
    ...(endpoint !== undefined && { endpoint, region: 'us-east-1' }),
    ...(region !== undefined && { region }),
    forcePathStyle: style === 'path',
    maxAttempts: 1,
    logger: SILENT,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // A proxy that does not answer it would hold each large upload.
    expectContinueHeader: false,
    requestHandler: {
      httpAgent: agent,
      httpsAgent: agent,
      // Calls that wait for a connection end at their deadline, so a warning would say nothing new.
      socketAcquisitionWarningTimeout: 2 ** 31 - 1,
    },
  });
  // Asks for the checksum without the SDK's own check, which would pass on the last bytes before it fails.
  client.middlewareStack.add(
    (next, context) => (args) => {
      const request = args.request as { headers: Record<string, string> };
      if (context.commandName === 'GetObjectCommand') request.headers['x-amz-checksum-mode'] = 'ENABLED';
      return next(args);
    },
    { step: 'build', name: 'vitrineChecksumMode' },
  );
  return client;
}
