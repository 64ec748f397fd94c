/**
 * Refusals of a wrong Content-Type. They say what came and what the route takes.
 */
import type { FastifyRequest } from 'fastify';
import { AppError } from '../../errors.ts';

/** The most characters of a header that a message repeats. */
const MAX_SHOWN = 80;

/**
 * @throws AppError `invalid-request` if the content type is not `multipart/form-data` with a boundary.
 */
export function requireForm(contentType: string | undefined): void {
  const [, parameters] = /^\s*multipart\/form-data\s*(?:;(.*))?$/is.exec(contentType ?? '') ?? [''];
  const isForm = /^\s*multipart\/form-data\s*(;|$)/i.test(contentType ?? '');
  if (isForm && /(^|[;\s])boundary\s*=\s*("[^"]|[^"\s;])/i.test(parameters ?? '')) return;
  throw new AppError(
    'invalid-request',
    isForm
      ? 'Content-Type has no boundary, so it must be multipart/form-data; boundary=… of the body. Do not set this header: an HTTP client sets it when it makes a form'
      : `the body must be multipart/form-data with a file part named "image", but ${described(contentType)}`,
  );
}

/** The refusal of a Content-Type that no parser of the route takes. */
export function wrongContentType(request: FastifyRequest): AppError {
  const contentType = request.headers['content-type'];
  const { config, schema } = request.routeOptions;
  if (config.form) {
    try {
      requireForm(contentType);
    } catch (error) {
      if (error instanceof AppError) return error;
      throw error;
    }
  }
  const { consumes = ['application/json'] } = (schema ?? {}) as { readonly consumes?: readonly string[] };
  return new AppError(
    'unsupported-media',
    `Content-Type must be ${consumes.join(' or ')}, but ${described(contentType)}`,
  );
}

function described(contentType: string | undefined): string {
  const text = contentType?.trim() ?? '';
  if (text === '') return 'the request has no Content-Type';
  return `Content-Type is ${text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text}`;
}
