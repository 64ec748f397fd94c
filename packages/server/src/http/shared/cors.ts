/**
 * Owns which pages of other origins may see what (CORS), and which may have a browser send what with the credentials that
 * it remembers. Refuses to know what the requests are about.
 */
import cors, { type FastifyCorsOptions } from '@fastify/cors';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { AppError } from '../../errors.ts';

/** Origins whose pages may call the API; `*` is any. */
export type AllowedOrigins = '*' | readonly string[];

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Where other rules hold for pages of other origins than those of the API. */
    cors?: FastifyCorsOptions;
  }
}

/** Seconds that browsers may keep the answer to a preflight; Chromium keeps none longer than two hours. */
const PREFLIGHT_LIFETIME = 7_200;

/** What pages may read of any answer, beside what they always may. */
const EXPOSED = ['ETag', 'RateLimit', 'RateLimit-Policy', 'Retry-After', 'X-Request-Id'];

/** Public links may be read by every page: whoever has the link may have the picture. */
export const PUBLIC_CORS: FastifyCorsOptions = {
  origin: '*',
  methods: 'GET, HEAD',
  allowedHeaders: ['Accept', 'Cache-Control', 'If-Modified-Since', 'If-None-Match', 'X-Request-Id'],
  exposedHeaders: EXPOSED,
};

/**
 * Has every answer say which pages may read it, refusals included; so it comes before whatever may refuse. Credentials
 * that a browser remembers are never allowed: pages give those that they have themselves.
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
      ...EXPOSED,
      'Content-Disposition',
      'Link',
      'Repr-Digest',
      'X-Moov-Version',
      'X-Total-Count',
    ],
    maxAge: PREFLIGHT_LIFETIME,
    // Its own refusal of an OPTIONS that is no preflight is no JSON.
    strictPreflight: false,
  });
}

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * A browser that once asked its user for Basic credentials sends them along with whatever another site makes it send.
 * It also says from where: that decides.
 * @throws AppError `forbidden` if the request may change something, and comes from a page that may not.
 */
export function refuseForeignOrigin(request: FastifyRequest, allowed: AllowedOrigins): void {
  if (SAFE_METHODS.has(request.method)) return;
  const { origin, host } = request.headers;
  const site = request.headers['sec-fetch-site'];
  const foreign =
    site === undefined
      ? origin !== undefined && !isOwnOrigin(origin, host)
      : site === 'cross-site' || site === 'same-site';
  if (!foreign) return;
  if (allowed !== '*' && origin !== undefined && allowed.includes(origin)) return;
  // Where every page may call the API, at least a form or a link of theirs may not: only what CORS has a say in.
  const mode = request.headers['sec-fetch-mode'];
  if (allowed === '*' && (mode === undefined || mode === 'cors')) return;
  throw new AppError('forbidden', 'requests from pages of another origin are not allowed');
}

function isOwnOrigin(origin: string, host: string | undefined): boolean {
  return URL.canParse(origin) && new URL(origin).host === host;
}
