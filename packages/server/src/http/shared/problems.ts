/**
 * Owns how a failure looks on the wire: the one table from error code to status, and the JSON bodies.
 * Refuses to decide what is a failure: services do.
 */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { AppError, type ErrorCode } from '../../errors.ts';
import { NO_STORE } from './cache-policy.ts';

/** Exhaustive: a new code does not compile until it has a status. */
const STATUS: Readonly<Record<ErrorCode, number>> = {
  'invalid-request': 400,
  unauthenticated: 401,
  'invalid-grant': 400,
  'invalid-scope': 400,
  'unsupported-grant-type': 400,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  'precondition-failed': 412,
  duplicate: 409,
  'quota-exceeded': 400,
  'too-large': 413,
  'unsupported-media': 415,
  'invalid-image': 422,
  'invalid-metadata': 422,
  'invalid-record': 422,
  'in-use': 409,
  'too-slow': 408,
  'rate-limited': 429,
  unavailable: 503,
  'storage-full': 507,
  // Nobody reads it; the number is for the log (nginx's "client closed request").
  cancelled: 499,
};

/** How credentials may be shown. Browsers ask their users for the first. */
const CHALLENGES = ['Basic realm="Vitrine", charset="UTF-8"', 'Bearer realm="Vitrine"'] as const;

const INTERNAL = 'internal error; quote the x-request-id of this response when you report it';

/** Fastify's own refusals that need our words; the rest of its 4xx are a 400 with its text. */
const FRAMEWORK: Readonly<Record<string, { code: ErrorCode; message: string }>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: { code: 'too-large', message: 'the request body is larger than 64 KiB' },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    code: 'unsupported-media',
    message: 'Content-Type must be application/json',
  },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    code: 'invalid-request',
    message: 'the body is not as long as Content-Length says',
  },
};

/** Any thrown thing as an AppError, or undefined if it is a defect. */
export function asAppError(error: unknown): AppError | undefined {
  if (error instanceof AppError) return error;
  if (!(error instanceof Error)) return undefined;
  const { code, statusCode, validation } = error as Partial<FastifyError>;
  const known = code === undefined ? undefined : FRAMEWORK[code];
  if (known) return new AppError(known.code, known.message, { cause: error });
  if (validation) return new AppError('invalid-request', error.message, { cause: error });
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new AppError('invalid-request', error.message, { cause: error });
  }
  return undefined;
}

/** The status of the failure and the JSON it is answered with. */
export function problem(error: AppError | undefined): { status: number; body: Record<string, unknown> } {
  if (!error) return { status: 500, body: { error: INTERNAL } };
  return { status: STATUS[error.code], body: { error: error.message } };
}

/**
 * Answers a failed request. Routes whose failures have a shape of their own (422, the 409 of a duplicate) give it
 * in `shape`; undefined from it means the common `{error}`.
 */
export async function sendProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  shape?: (error: AppError) => Record<string, unknown> | undefined,
  cacheControl = NO_STORE,
): Promise<FastifyReply> {
  const known = asAppError(error);
  const { status, body } = problem(known);
  if (status >= 500) request.log.error({ err: error, code: known?.code ?? 'internal' }, 'request failed');
  else request.log.debug({ code: known?.code, reason: known?.message }, 'request refused');
  if (status === 429 || status >= 500) {
    request.observed?.failed(known?.rejection ?? known?.code ?? 'internal', error);
  }
  if (known?.code === 'unauthenticated') reply.header('www-authenticate', [...CHALLENGES]);
  if (known?.retryAfter !== undefined) reply.header('retry-after', String(known.retryAfter));
  // A route may have got as far as to say how its answer is to be kept: this is not that answer.
  for (const name of ['etag', 'last-modified', 'content-disposition', 'link']) reply.removeHeader(name);
  reply.header('cache-control', cacheControl);
  return reply
    .code(status)
    .type('application/json; charset=utf-8')
    .serializer((payload: unknown) => JSON.stringify(payload))
    .send((known && shape?.(known)) ?? body);
}
