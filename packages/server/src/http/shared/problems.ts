/**
 * Failures on the wire: the table from error code to status, and the JSON bodies. Services decide what is a
 * failure.
 */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { AppError, type ErrorCode } from '../../errors.ts';
import { NO_STORE } from './cache-policy.ts';
import { wrongContentType } from './content-type.ts';

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
  // The client is gone. The number is for the log (nginx's "client closed request").
  cancelled: 499,
};

/** The accepted kinds of credentials. Browsers ask their users for the first kind. */
const CHALLENGES = ['Basic realm="Vitrine", charset="UTF-8"', 'Bearer realm="Vitrine"'] as const;

const INTERNAL_ERROR = 'internal error; quote the x-request-id of this response when you report it';

/** Errors of Fastify that need another code or text. Its other 4xx become a 400 with its own text. */
const FRAMEWORK_ERRORS: Readonly<Record<string, { code: ErrorCode; message: string }>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: { code: 'too-large', message: 'the request body is larger than 64 KiB' },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    code: 'invalid-request',
    message: 'the body is not as long as Content-Length says',
  },
};

/** The thrown value as an AppError; undefined if it is a defect of the server. */
function toAppError(error: unknown, request: FastifyRequest): AppError | undefined {
  if (error instanceof AppError) return error;
  if (!(error instanceof Error)) return undefined;
  const { code, statusCode, validation } = error as Partial<FastifyError>;
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return wrongContentType(request);
  const framework = code === undefined ? undefined : FRAMEWORK_ERRORS[code];
  if (framework) return new AppError(framework.code, framework.message, { cause: error });
  if (validation) return new AppError('invalid-request', error.message, { cause: error });
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new AppError('invalid-request', error.message, { cause: error });
  }
  return undefined;
}

function statusAndBody(error: AppError | undefined): { status: number; body: Record<string, unknown> } {
  if (!error) return { status: 500, body: { error: INTERNAL_ERROR } };
  return { status: STATUS[error.code], body: { error: error.message } };
}

/**
 * Answers a failed request.
 * @param shape the body of a failure with its own shape (a 422, the 409 of a duplicate). If it returns
 *   undefined, the body is `{error}`.
 */
export async function sendProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  shape?: (error: AppError) => Record<string, unknown> | undefined,
  cacheControl = NO_STORE,
): Promise<FastifyReply> {
  const failure = toAppError(error, request);
  const { status, body } = statusAndBody(failure);
  if (status >= 500) {
    request.log.error({ err: error, code: failure?.code ?? 'internal' }, 'request failed');
  } else {
    request.log.debug({ code: failure?.code, reason: failure?.message }, 'request refused');
  }
  if (status === 429 || status >= 500) {
    request.observation?.failed(failure?.rejection ?? failure?.code ?? 'internal', error);
  }
  if (failure?.code === 'unauthenticated') reply.header('www-authenticate', [...CHALLENGES]);
  if (failure?.retryAfter !== undefined) reply.header('retry-after', String(failure.retryAfter));
  // The route may have set the headers of a successful answer.
  for (const name of ['etag', 'last-modified', 'content-disposition', 'link']) reply.removeHeader(name);
  reply.header('cache-control', cacheControl);
  return reply
    .code(status)
    .type('application/json; charset=utf-8')
    .serializer((payload: unknown) => JSON.stringify(payload))
    .send((failure && shape?.(failure)) ?? body);
}
