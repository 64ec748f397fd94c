/**
 * The routes of keys: the keys of one account, and all keys of the server under `/keys`. Both have the same
 * operations. An answer shows only the accounts of a key that the request may read.
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

/** The differences between the keys of an account and the keys of the server. */
interface KeyCollection {
  readonly path: string;
  /** The end of each operation ID. */
  readonly suffix: string;
  /** The schema of the body of `create`. */
  readonly request: string;
  readonly params: TObject | undefined;
  readonly keyParams: TObject;
  readonly allAccounts: boolean;
}

const ACCOUNT_KEYS: KeyCollection = {
  path: '/accounts/:accountID/keys',
  suffix: 'AccountKey',
  request: 'ApiKeyRequest#',
  params: AccountParams,
  keyParams: KeyParams,
  allAccounts: false,
};

const SERVER_KEYS: KeyCollection = {
  path: '/keys',
  suffix: 'Key',
  request: 'ServerKeyRequest#',
  params: undefined,
  keyParams: ServerKeyParams,
  allAccounts: true,
};

export function addKeyRoutes(app: FastifyInstance, routes: AdministrationRoutes): void {
  addRoutes(app, routes, ACCOUNT_KEYS);
  addRoutes(app, routes, SERVER_KEYS);
}

function addRoutes(
  app: FastifyInstance,
  { administration, baseURL, now }: AdministrationRoutes,
  collection: KeyCollection,
): void {
  const { path, suffix } = collection;
  const common = { tags: ['Keys'], headers: VersionHeader };
  const listSchema = { ...common, ...(collection.params && { params: collection.params }) };
  const keySchema = { ...common, params: collection.keyParams };
  const all = collection.allAccounts ? ({ allAccounts: true } as const) : {};
  const read = { scope: 'accounts.read', ...all } as const;
  const write = { scope: 'accounts.write', ...all } as const;
  const requirement = collection.allAccounts ? ' Requires credentials for all accounts.' : '';
  const selection = collection.allAccounts ? 'all keys' : 'the keys that name the account';
  const keyIDOf = (request: FastifyRequest) => (request.params as { keyID: string }).keyID;

  app.post(
    path,
    {
      config: write,
      schema: {
        ...listSchema,
        operationId: `create${suffix}`,
        summary: 'Create a key',
        description: `Only this response contains the secret key. A new key cannot have more accounts or scopes than the credentials of the request, and cannot expire later.${requirement}`,
        body: { $ref: collection.request },
        response: responseOf(201, 'The key was created.', 'IssuedApiKey'),
      },
    },
    async (request, reply) => {
      const { accountID } = request;
      const settings = readKeySettings(request.body, now(), accountID);
      const accounts = accountID === undefined ? (settings.accounts ?? 'all') : [accountID];
      const { key, secretKey } = await administration.createKey(callerOf(request), accounts, settings);
      return reply.code(201).send({ ...visibleKeyJSON(key, request), secretKey });
    },
  );

  app.get<{ Querystring: Static<typeof ListQuery> }>(
    path,
    {
      config: read,
      schema: {
        ...listSchema,
        operationId: `list${suffix}s`,
        summary: 'List keys',
        description: `Returns ${selection}, including revoked and expired keys.${requirement}`,
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
      return keys.map((key) => visibleKeyJSON(key, request));
    },
  );

  app.get(
    `${path}/:keyID`,
    {
      config: read,
      schema: {
        ...keySchema,
        operationId: `get${suffix}`,
        summary: 'Get a key',
        description: `Also returns revoked and expired keys.${requirement}`,
        response: responseOf(200, 'The key.', 'ApiKey'),
      },
    },
    async (request) =>
      visibleKeyJSON(await administration.getKey(request.accountID, keyIDOf(request)), request),
  );

  app.post(
    `${path}/:keyID/rotate`,
    {
      config: write,
      schema: {
        ...keySchema,
        operationId: `rotate${suffix}`,
        summary: 'Rotate the secret of a key',
        description: `Creates a new secret key, which only this response contains. The previous secret and its tokens stay valid for the overlap, 24 hours by default. An older secret ends at once.${requirement}`,
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
      return { ...visibleKeyJSON(key, request), secretKey, overlapUntil: overlapUntil.toISOString() };
    },
  );

  app.delete(
    `${path}/:keyID`,
    {
      config: write,
      schema: {
        ...keySchema,
        operationId: `revoke${suffix}`,
        summary: 'Revoke a key',
        description: `Revokes the key permanently and ends all of its tokens. Revoking a revoked key succeeds.${requirement}`,
        response: emptyResponse('The key is revoked.'),
      },
    },
    async (request, reply) => {
      await administration.revokeKey(callerOf(request), request.accountID, keyIDOf(request));
      return reply.code(204).send();
    },
  );
}

/** The JSON of a key for this request. It contains only accounts on which the request has rights. */
function visibleKeyJSON(key: ApiKey, request: FastifyRequest): Static<typeof ApiKeySchema> {
  const { scope } = request.routeOptions.config;
  const isScope = scope !== undefined && scope !== 'public' && scope !== 'client' && scope !== 'any';
  const granted = isScope && request.principal?.grants.get(scope);
  const accounts =
    granted === 'all' || key.accounts === 'all'
      ? key.accounts
      : key.accounts.filter((accountID) => Array.isArray(granted) && granted.includes(accountID));
  return keyJSON({ ...key, accounts });
}
