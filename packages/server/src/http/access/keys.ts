/**
 * The routes of keys: under an account those that name it, under `/keys` all there are. Owns
 * what of a key whom is shown. Refuses to know who may make what of whom: the administration decides.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Static, TObject } from 'typebox';
import type { ApiKey } from '../../access/account.ts';
import { readKeySettings, readOverlap } from '../../access/settings.ts';
import { addPageHeaders, readPage } from '../shared/paging.ts';
import { callerOf } from '../shared/route-rules.ts';
import { AccountParams, ListQuery, VersionHeader } from '../shared/schemas.ts';
import type { AdministrationRoutes } from './accounts.ts';
import { keyJSON } from './json.ts';
import {
  type ApiKeySchema,
  CONFLICT,
  emptyResponse,
  KeyParams,
  responseOf,
  ServerKeyParams,
} from './schemas.ts';

/** What is different about the two places where keys are. */
interface Place {
  readonly path: string;
  /** Ends the names of the operations. */
  readonly suffix: string;
  readonly request: string;
  readonly params: TObject | undefined;
  readonly keyParams: TObject;
  readonly allAccounts: boolean;
}

const OF_ACCOUNT: Place = {
  path: '/accounts/:accountID/keys',
  suffix: 'AccountKey',
  request: 'ApiKeyRequest#',
  params: AccountParams,
  keyParams: KeyParams,
  allAccounts: false,
};

const OF_SERVER: Place = {
  path: '/keys',
  suffix: 'Key',
  request: 'ServerKeyRequest#',
  params: undefined,
  keyParams: ServerKeyParams,
  allAccounts: true,
};

export function addKeyRoutes(app: FastifyInstance, routes: AdministrationRoutes): void {
  addRoutes(app, routes, OF_ACCOUNT);
  addRoutes(app, routes, OF_SERVER);
}

function addRoutes(
  app: FastifyInstance,
  { administration, baseURL, now }: AdministrationRoutes,
  place: Place,
): void {
  const { path, suffix } = place;
  const common = { tags: ['Keys'], headers: VersionHeader };
  const ofList = { ...common, ...(place.params && { params: place.params }) };
  const ofKey = { ...common, params: place.keyParams };
  const all = place.allAccounts ? ({ allAccounts: true } as const) : {};
  const read = { scope: 'accounts.read', ...all } as const;
  const write = { scope: 'accounts.write', ...all } as const;
  const note = place.allAccounts ? 'Takes credentials for all accounts.' : 'Those that name the account.';
  const keyIDOf = (request: FastifyRequest) => (request.params as { keyID: string }).keyID;

  app.post(
    path,
    {
      config: write,
      schema: {
        ...ofList,
        operationId: `create${suffix}`,
        summary: 'Create a key',
        description: `Its secret is told only in this answer. A key is never wider than the credentials that make it: neither in accounts, nor in scopes, nor in time.`,
        body: { $ref: place.request },
        response: responseOf(201, 'The key was created.', 'IssuedApiKey'),
      },
    },
    async (request, reply) => {
      const { accountID } = request;
      const settings = readKeySettings(request.body, now(), accountID);
      const accounts = accountID === undefined ? (settings.accounts ?? 'all') : [accountID];
      const { key, secretKey } = await administration.createKey(callerOf(request), accounts, settings);
      return reply.code(201).send({ ...show(key, request), secretKey });
    },
  );

  app.get<{ Querystring: Static<typeof ListQuery> }>(
    path,
    {
      config: read,
      schema: {
        ...ofList,
        operationId: `list${suffix}s`,
        summary: 'List keys',
        description: `${note} Revoked and expired ones too.`,
        querystring: ListQuery,
        response: responseOf(200, 'A page of keys, newest first.', 'ApiKey', true),
      },
    },
    async (request, reply) => {
      const page = readPage(request.query);
      const { accountID } = request;
      const { keys, total } = await administration.listKeys(accountID, page);
      addPageHeaders(reply, {
        url: baseURL() + path.replace(':accountID', accountID ?? ''),
        page,
        length: keys.length,
        total,
      });
      return keys.map((key) => show(key, request));
    },
  );

  app.get(
    `${path}/:keyID`,
    {
      config: read,
      schema: {
        ...ofKey,
        operationId: `get${suffix}`,
        summary: 'Get a key',
        response: responseOf(200, 'The key.', 'ApiKey'),
      },
    },
    async (request) => show(await administration.getKey(request.accountID, keyIDOf(request)), request),
  );

  app.post(
    `${path}/:keyID/rotate`,
    {
      config: write,
      schema: {
        ...ofKey,
        operationId: `rotate${suffix}`,
        summary: 'Give a key another secret',
        description:
          'The secret before it, and the tokens that were got with it, stay valid for the overlap (24 hours if nothing is said); a secret from before that ends at once. The new secret is told only in this answer.',
        body: { $ref: 'RotationRequest#' },
        response: { ...responseOf(200, 'The key with its new secret.', 'RotatedApiKey'), ...CONFLICT },
      },
    },
    async (request) => {
      const overlap = readOverlap(request.body);
      const rotated = await administration.rotateKey(
        callerOf(request),
        request.accountID,
        keyIDOf(request),
        overlap,
      );
      const { key, secretKey, overlapUntil } = rotated;
      return { ...show(key, request), secretKey, overlapUntil: overlapUntil.toISOString() };
    },
  );

  app.delete(
    `${path}/:keyID`,
    {
      config: write,
      schema: {
        ...ofKey,
        operationId: `revoke${suffix}`,
        summary: 'Revoke a key',
        description: 'For good, and with all of its tokens. Again is a success.',
        response: emptyResponse('The key is revoked.'),
      },
    },
    async (request, reply) => {
      await administration.revokeKey(callerOf(request), request.accountID, keyIDOf(request));
      return reply.code(204).send();
    },
  );
}

/** The key as whoever asks may see it: of its accounts only those they have rights on. */
function show(key: ApiKey, request: FastifyRequest): Static<typeof ApiKeySchema> {
  const { scope } = request.routeOptions.config;
  const held = scope !== 'public' && scope !== 'client' && scope && request.principal?.grants.get(scope);
  const visible =
    held === 'all' || key.accounts === 'all'
      ? key.accounts
      : key.accounts.filter((accountID) => Array.isArray(held) && held.includes(accountID));
  return keyJSON({ ...key, accounts: visible });
}
