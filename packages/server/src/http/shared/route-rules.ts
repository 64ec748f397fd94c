/**
 * Owns what every route has in common: the scope it declares, and what a request is known to be by the time its
 * handler runs. A route that declares no scope does not start.
 */
import type { Readable } from 'node:stream';
import type { FastifyInstance, FastifyRequest, onRequestHookHandler } from 'fastify';
import type { Principal, Scope } from '../../access/account.ts';
import type { Actor } from '../../access/audit.ts';
import type { Access } from '../../access/authentication.ts';
import type { Caller } from '../../access/rights.ts';
import { AppError } from '../../errors.ts';
import { MAX_ORIGINAL_BYTES } from '../../image.ts';
import { checkBodyHeaders, claimBody, linger, type Pace, watchBody } from './body.ts';
import { type AllowedOrigins, refuseForeignOrigin } from './cors.ts';
import { clientName, type RateLimits } from './rate-limits.ts';
import { BODY_RESPONSES } from './schemas.ts';
import { DEFAULT_VERSION, resolveVersion, type Version } from './version.ts';

/** The largest JSON body, in bytes. */
const MAX_JSON_BYTES = 64 * 1024;
/** The bytes that a form may have besides its file: metadata, and the headers and boundaries of the parts. */
const FORM_OVERHEAD = 1024 * 1024;
/** The largest form, in bytes. */
const MAX_FORM_BYTES = MAX_ORIGINAL_BYTES + FORM_OVERHEAD;

/** What a route says of itself before any request comes. */
export interface RouteDeclaration {
  readonly method: string;
  readonly path: string;
  readonly scope: Scope | 'public' | 'client';
  readonly allAccounts: boolean;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * What a principal needs to be answered; `public`: no credentials at all; `client`: the handler looks for them
     * itself, because they may be in the body.
     */
    scope?: Scope | 'public' | 'client';
    /** Only for who holds the scope for all accounts. */
    allAccounts?: true;
    /** The body is a multipart form with a file in it; else it is JSON, if there is one. */
    form?: true;
    /**
     * Charged to the address, and to the key if it has one: so by default unless the route is public. Probes are never
     * charged.
     */
    charged?: boolean;
  }
  interface FastifyInstance {
    /** Every route there is, and what it declares. */
    declarations: RouteDeclaration[];
  }
  interface FastifyRequest {
    /** The body on its way, where there is one. */
    watched: Readable | undefined;
    /** Fires when the client goes away before it is answered. */
    aborted: AbortSignal;
    /** Set on routes with a scope. */
    version: Version | undefined;
    /** Set on routes with a scope. */
    principal: Principal | undefined;
    /** Set on routes under an account, once the principal is known to have rights on it. */
    accountID: string | undefined;
  }
}

/** The account of a route under one. */
export function accountOf(request: FastifyRequest): string {
  if (request.accountID === undefined)
    throw new TypeError(`${request.routeOptions.url} is not under an account`);
  return request.accountID;
}

/** Who the changes that a request makes are put down to. */
export function actorOf(request: FastifyRequest): Actor {
  const { principal, id: requestID, ip: address } = request;
  if (principal === undefined) throw new TypeError(`${request.routeOptions.url} declares no scope`);
  const { keyID, tokenID } = principal;
  return { kind: 'key', keyID, ...(tokenID !== undefined && { tokenID }), requestID, address };
}

/** Who a request asks for, and what they may do. */
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
  /** How fast bodies must come. */
  readonly pace?: Pace | undefined;
}

/**
 * Lets no route start that declares no scope, and adds to what each documents what the rules for bodies answer. Before
 * any route, those of plugins included.
 */
export function requireScopes(app: FastifyInstance): void {
  app.decorate('declarations', []);
  app.addHook('onRoute', (route) => {
    // A preflight asks what may be asked; it never carries credentials.
    if (route.method === 'OPTIONS') route.config = { ...route.config, scope: 'public' };
    if (route.config?.scope === undefined) {
      throw new Error(`route ${String(route.method)} ${route.url} declares no scope`);
    }
    const { scope, allAccounts = false } = route.config;
    if (route.schema?.response && !['GET', 'HEAD'].includes(String(route.method))) {
      // The rules for bodies hold on every route, also where none is wanted.
      route.schema = { ...route.schema, response: { ...BODY_RESPONSES, ...route.schema.response } };
    }
    for (const method of [route.method].flat()) {
      app.declarations.push({ method, path: route.url, scope, allAccounts });
    }
  });
}

/** Sets the rules up on a server, before any route. */
export function addRouteRules(app: FastifyInstance, rules: RouteRules): void {
  app.decorateRequest('watched', undefined);
  app.decorateRequest('version', undefined);
  app.decorateRequest('principal', undefined);
  app.decorateRequest('accountID', undefined);
  app.decorateRequest('aborted', null as unknown as AbortSignal);

  app.addHook('onRequest', async (request, reply) => {
    const controller = new AbortController();
    request.aborted = controller.signal;
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) controller.abort();
    });
  });

  app.addHook('onRequest', authorize(rules));

  // Between the refusals that need only headers and the first read of the body.
  app.addHook('preParsing', async (request, reply, payload) => {
    if (!hasBody(request)) return payload;
    const limit = request.routeOptions.config.form ? MAX_FORM_BYTES : MAX_JSON_BYTES;
    checkBodyHeaders(request.headers, limit);
    if (request.headers.expect?.toLowerCase() === '100-continue') reply.raw.writeContinue();
    request.watched = watchBody(request.raw, payload as Readable, limit, rules.pace);
    return request.watched;
  });

  app.addHook('onSend', async (request) => {
    if (hasBody(request)) claimBody(request.raw);
  });
  app.addHook('onResponse', async (request) => {
    // What nobody read must not go on being watched and held. Its end also stops the flow, so it comes first.
    const { watched } = request;
    if (watched && !watched.closed) {
      watched.destroy();
      await new Promise((resolve) => watched.once('close', resolve));
    }
    if (hasBody(request) && request.raw.socket) linger(request.raw);
  });
}

function authorize({ access, rates, allowedOrigins }: RouteRules): onRequestHookHandler {
  return async (request, reply) => {
    const { scope, allAccounts, charged = scope !== 'public' } = request.routeOptions.config;
    // No route is at this path.
    if (scope === undefined) return;
    const address = clientName(request.ip);
    if (scope === 'public') {
      if (charged) rates.charge(reply, 'address', address);
      return;
    }
    const version = answeringVersion(request.headers['x-moov-version']);
    request.version = version instanceof AppError ? DEFAULT_VERSION : version;
    reply.header('x-moov-version', request.version);
    // Before anything is looked up.
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
    access.requireScope(request.principal, scope);
    if (allAccounts) access.requireAllAccounts(request.principal, scope);
    const { accountID } = request.params as { accountID?: string };
    if (accountID !== undefined)
      request.accountID = await access.requireAccount(request.principal, scope, accountID);
    if (version instanceof AppError) throw version;
  };
}

/** Every answer names its version, also one that is refused for something else first. */
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
