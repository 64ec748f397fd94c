/**
 * The rules of every route: its scope, the authorization of requests, rate limits and request bodies. The
 * server does not start with a route that declares no scope.
 */
import type { Readable } from 'node:stream';
import type { FastifyInstance, FastifyRequest, onRequestHookHandler } from 'fastify';
import type { Principal, Scope } from '../../access/account.ts';
import type { Actor } from '../../access/audit.ts';
import type { Access } from '../../access/authentication.ts';
import type { Caller } from '../../access/rights.ts';
import { AppError } from '../../errors.ts';
import { MAX_ORIGINAL_BYTES } from '../../image.ts';
import { checkBodyHeaders, claimBody, linger, PACE, type Pace, watchBody } from './body.ts';
import { type AllowedOrigins, refuseForeignOrigin } from './cors.ts';
import { clientName, type RateLimits } from './rate-limits.ts';
import { BODY_RESPONSES } from './schemas.ts';
import { SlowBodies } from './slow-bodies.ts';
import { DEFAULT_VERSION, resolveVersion, type Version } from './version.ts';

/** The largest JSON body, in bytes. */
const MAX_JSON_BYTES = 64 * 1024;
/** The bytes of a form in addition to its file: metadata, and the headers and boundaries of the parts. */
const FORM_OVERHEAD = 1024 * 1024;
/** The largest form, in bytes. */
const MAX_FORM_BYTES = MAX_ORIGINAL_BYTES + FORM_OVERHEAD;

/** The access rules of one route. */
export interface RouteDeclaration {
  readonly method: string;
  readonly path: string;
  readonly scope: Scope | 'public' | 'client' | 'any';
  readonly allAccounts: boolean;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * The scope that a principal needs. `any`: valid credentials with any scope. `public`: no credentials.
     * `client`: the handler reads the credentials, because they may be in the body.
     */
    scope?: Scope | 'public' | 'client' | 'any';
    /** Only for principals with the scope for all accounts. */
    allAccounts?: true;
    /** The body is a multipart form with a file. Without this, a body is JSON. */
    form?: true;
    /**
     * Whether the rate limits of the address and of the key apply. Default: true, except for public routes.
     * Probes have no limits.
     */
    charged?: boolean;
  }
  interface FastifyInstance {
    /** The access rules of every route. */
    declarations: RouteDeclaration[];
  }
  interface FastifyRequest {
    /** The body as it arrives, if there is one. */
    watchedBody: Readable | undefined;
    /** Fires when the client goes away before the answer is sent. */
    abortSignal: AbortSignal;
    /** Set on routes with a scope. */
    version: Version | undefined;
    /** Set on routes with a scope. */
    principal: Principal | undefined;
    /** Set on routes under an account, after the principal's rights on it are checked. */
    accountID: string | undefined;
  }
}

/** The account of a request. @throws TypeError if its route has none. */
export function accountOf(request: FastifyRequest): string {
  if (request.accountID === undefined) throw new TypeError(`${request.routeOptions.url} has no account`);
  return request.accountID;
}

/** The actor that the audit trail names for the changes of a request. */
export function actorOf(request: FastifyRequest): Actor {
  const { principal, id: requestID, ip: address } = request;
  if (principal === undefined) throw new TypeError(`${request.routeOptions.url} declares no scope`);
  const { keyID, tokenID } = principal;
  return { kind: 'key', keyID, ...(tokenID !== undefined && { tokenID }), requestID, address };
}

/** The actor of a request and its rights. */
export function callerOf(request: FastifyRequest): Caller {
  const by = actorOf(request);
  const { grants = new Map(), expiresOn } = request.principal ?? {};
  return { by, grants, ...(expiresOn && { expiresOn }) };
}

export interface RouteRules {
  readonly access: Access;
  readonly rates: RateLimits;
  /** Origins whose pages may send unsafe requests. */
  readonly allowedOrigins: AllowedOrigins;
  /** The slowest pace of bodies. */
  readonly pace?: Pace | undefined;
}

/**
 * Refuses routes without a scope. Adds the responses of the body rules to the schema of each route. Call it
 * before any route or plugin is added.
 */
export function requireScopes(app: FastifyInstance): void {
  app.decorate('declarations', []);
  app.addHook('onRoute', (route) => {
    // A preflight never carries credentials.
    if (route.method === 'OPTIONS') route.config = { ...route.config, scope: 'public' };
    if (route.config?.scope === undefined) {
      throw new Error(`route ${String(route.method)} ${route.url} declares no scope`);
    }
    const { scope, allAccounts = false } = route.config;
    if (route.schema?.response && !['GET', 'HEAD'].includes(String(route.method))) {
      // The body rules apply to every route, also to those that need no body.
      route.schema = { ...route.schema, response: { ...BODY_RESPONSES, ...route.schema.response } };
    }
    for (const method of [route.method].flat()) {
      app.declarations.push({ method, path: route.url, scope, allAccounts });
    }
  });
}

/** Adds the rules to a server. Call it before any route is added. */
export function addRouteRules(app: FastifyInstance, rules: RouteRules): void {
  const { pace = PACE } = rules;
  const slowBodies = new SlowBodies(pace.maxSlow);
  app.decorateRequest('watchedBody', undefined);
  app.decorateRequest('version', undefined);
  app.decorateRequest('principal', undefined);
  app.decorateRequest('accountID', undefined);
  app.decorateRequest('abortSignal', null as unknown as AbortSignal);

  app.addHook('onRequest', async (request, reply) => {
    const controller = new AbortController();
    request.abortSignal = controller.signal;
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) controller.abort();
    });
  });

  app.addHook('onRequest', authorize(rules));

  // Runs after the refusals that need only headers and before the first read of the body.
  app.addHook('preParsing', async (request, reply, payload) => {
    if (!hasBody(request)) return payload;
    const limit = request.routeOptions.config.form ? MAX_FORM_BYTES : MAX_JSON_BYTES;
    checkBodyHeaders(request.headers, limit);
    if (request.headers.expect?.toLowerCase() === '100-continue') reply.raw.writeContinue();
    const address = clientName(request.ip);
    const bodyRules = { limit, pace, address, slowBodies };
    request.watchedBody = watchBody(request.raw, payload as Readable, bodyRules);
    return request.watchedBody;
  });

  app.addHook('onSend', async (request) => {
    if (hasBody(request)) claimBody(request.raw);
  });
  app.addHook('onResponse', async (request) => {
    // Releases an unread body. It stops the flow when it closes, so `linger` must come later.
    const { watchedBody } = request;
    if (watchedBody && !watchedBody.closed) {
      watchedBody.destroy();
      await new Promise((resolve) => watchedBody.once('close', resolve));
    }
    if (hasBody(request) && request.raw.socket) linger(request.raw);
  });
}

function authorize({ access, rates, allowedOrigins }: RouteRules): onRequestHookHandler {
  return async (request, reply) => {
    const { scope, allAccounts, charged = scope !== 'public' } = request.routeOptions.config;
    // There is no route at this path.
    if (scope === undefined) return;
    const address = clientName(request.ip);
    if (scope === 'public') {
      if (charged) rates.charge(reply, 'address', address);
      return;
    }
    const version = answeringVersion(request.headers['x-moov-version']);
    request.version = version instanceof AppError ? DEFAULT_VERSION : version;
    reply.header('x-moov-version', request.version);
    // Charges the address before the first look-up in the database.
    if (charged) rates.charge(reply, 'address', address);
    const authorization = request.raw.headersDistinct.authorization;
    if (authorization && authorization.length > 1) {
      throw new AppError('unauthenticated', 'more than one Authorization header');
    }
    refuseForeignOrigin(request, allowedOrigins);
    if (scope === 'client') {
      if (version instanceof AppError) throw version;
      return;
    }
    request.principal = await access.authenticate(authorization?.[0], address);
    if (charged) rates.charge(reply, 'key', request.principal.keyID);
    if (scope !== 'any') {
      access.requireScope(request.principal, scope);
      if (allAccounts) access.requireAllAccounts(request.principal, scope);
      const { accountID } = request.params as { accountID?: string };
      if (accountID !== undefined)
        request.accountID = await access.requireAccount(request.principal, scope, accountID);
    }
    if (version instanceof AppError) throw version;
  };
}

/**
 * The version, or the error of a malformed header. Other refusals come first, and they name a version too.
 */
function answeringVersion(header: string | string[] | undefined): Version | AppError {
  try {
    return resolveVersion(typeof header === 'string' ? header : header?.join());
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
}

function hasBody(request: FastifyRequest): boolean {
  const { headers } = request;
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}
