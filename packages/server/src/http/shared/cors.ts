/**
 * Requests from pages of other origins: which pages may read answers (CORS), and which may send requests with
 * the credentials that a browser remembers.
 */
import cors, { type FastifyCorsOptions } from '@fastify/cors';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { AppError } from '../../errors.ts';

/** Origins whose pages may call the API. `*`: any origin. */
export type AllowedOrigins = '*' | readonly string[];

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The CORS rules of a route, if they differ from those of the API. */
    cors?: FastifyCorsOptions;
  }
}

/**
 * Seconds for which browsers may cache the answer to a preflight. Chromium caches it for two hours at most.
 */
const PREFLIGHT_LIFETIME = 7_200;

/** Headers that pages may read in every answer, in addition to the safelisted ones. */
const EXPOSED_HEADERS = ['ETag', 'RateLimit', 'RateLimit-Policy', 'Retry-After', 'X-Request-Id'];

/** The rules of public links, which every page may read. */
export const PUBLIC_CORS: FastifyCorsOptions = {
  origin: '*',
  methods: 'GET, HEAD',
  allowedHeaders: ['Accept', 'Cache-Control', 'If-Modified-Since', 'If-None-Match', 'X-Request-Id'],
  exposedHeaders: EXPOSED_HEADERS,
};

/**
 * Adds CORS headers to every answer. Call it before the hooks that refuse requests, so that pages can read
 * refusals. Credentials that a browser remembers are never allowed. Pages send their own in `Authorization`.
 */
export async function addCors(app: FastifyInstance, allowed: AllowedOrigins): Promise<void> {
  await app.register(cors, {
    origin: allowed === '*' ? '*' : allowed.length > 0 && [...allowed],
    credentials: false,
    methods: 'GET, HEAD, POST, PUT, PATCH, DELETE',
    allowedHeaders: [
      'Authorization',
      'Content-Type',
      'If-Modified-Since',
      'If-None-Match',
      'X-Idempotency-Key',
      'X-Moov-Version',
      'X-Request-Id',
    ],
    exposedHeaders: [
      ...EXPOSED_HEADERS,
      'Content-Disposition',
      'Link',
      'Repr-Digest',
      'X-Moov-Version',
      'X-Total-Count',
    ],
    maxAge: PREFLIGHT_LIFETIME,
    // The plugin would answer an OPTIONS without preflight headers with plain text.
    strictPreflight: false,
  });
}

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Protects against cross-site requests. A browser that remembers Basic credentials adds them to requests from
 * pages of other sites. `Origin` and `Sec-Fetch-Site` name the source.
 * @throws AppError `forbidden` if an unsafe request comes from a page of an origin that is not allowed.
 */
export function refuseForeignOrigin(request: FastifyRequest, allowed: AllowedOrigins): void {
  if (SAFE_METHODS.has(request.method)) return;
  const { origin, host } = request.headers;
  const site = request.headers['sec-fetch-site'];
  const isForeign =
    site === undefined
      ? origin !== undefined && !isOwnOrigin(origin, host)
      : site === 'cross-site' || site === 'same-site';
  if (!isForeign) return;
  if (allowed !== '*' && origin !== undefined && allowed.includes(origin)) return;
  // With `*`, scripts of all pages may call the API. Forms and links still may not: CORS does not cover them.
  const mode = request.headers['sec-fetch-mode'];
  if (allowed === '*' && (mode === undefined || mode === 'cors')) return;
  throw new AppError('forbidden', 'requests from pages of another origin are not allowed');
}

function isOwnOrigin(origin: string, host: string | undefined): boolean {
  return URL.canParse(origin) && new URL(origin).host === host;
}
