/**
 * The schemas of accounts, keys, tokens and the audit trail. The OpenAPI document and the types of the client
 * come from them.
 */
import { Type } from 'typebox';
import {
  DISABLE_POLICIES,
  type DisablePolicy,
  MAX_BYTE_QUOTA,
  MAX_IMAGE_QUOTA,
  MAX_NAME_LENGTH,
} from '../../access/account.ts';
import { AUDIT_ACTIONS } from '../../access/audit.ts';
import { DEFAULT_OVERLAP, MAX_KEY_ACCOUNTS, MAX_OVERLAP } from '../../access/settings.ts';
import { COMMON_RESPONSES, DateTime, describeResponse } from '../shared/schemas.ts';

const ID = (description: string) => Type.String({ format: 'uuid', description });
const Name = (description: string) => Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH, description });

const displayName = Name(`The name of the account, at most ${MAX_NAME_LENGTH} characters.`);
const imageQuota = Type.Integer({
  minimum: 0,
  maximum: MAX_IMAGE_QUOTA,
  description: 'The most images that may be enabled at the same time.',
});

const byteQuota = Type.Integer({
  minimum: 0,
  maximum: MAX_BYTE_QUOTA,
  description: 'The most bytes of the originals of all enabled images. 0: no limit.',
});

const disablePolicy = Type.Unsafe<DisablePolicy>({
  type: 'string',
  enum: [...DISABLE_POLICIES],
  description:
    'What happens when a client disables an image in use: `allow` disables it, `refuse-in-use` returns 409. Absent: `allow`.',
});

export const AccountSchema = Type.Object(
  {
    accountID: ID('Identifies the account.'),
    displayName,
    createdOn: DateTime('When the account was created.'),
    suspendedOn: Type.Optional(DateTime('When the account was suspended. Absent if it is not suspended.')),
    imageQuota: Type.Optional(imageQuota),
    byteQuota: Type.Optional(byteQuota),
    disablePolicy: Type.Optional(disablePolicy),
  },
  {
    $id: 'Account',
    description:
      'A tenant. It owns images, products and line items. For an absent quota, the default of the server applies.',
  },
);

const settings = {
  disablePolicy: Type.Optional(disablePolicy),
  imageQuota: Type.Optional(
    Type.Union([imageQuota, Type.Null()], {
      description: 'The most images that may be enabled at the same time. null: the default of the server.',
    }),
  ),
  byteQuota: Type.Optional(
    Type.Union([byteQuota, Type.Null()], {
      description:
        'The most bytes of the originals of all enabled images. 0: no limit. null: the default of the server.',
    }),
  ),
};

export const AccountRequest = Type.Object(
  {
    displayName,
    accountID: Type.Optional(
      ID('The ID of the account, for example its ID on another server. Default: a new random UUID.'),
    ),
    ...settings,
  },
  { $id: 'AccountRequest', description: 'An account to create.' },
);

export const AccountPatch = Type.Object(
  { displayName: Type.Optional(displayName), ...settings },
  {
    $id: 'AccountPatch',
    description:
      'The changes to an account. Absent fields stay as they are. Quotas require credentials for all accounts.',
  },
);

const scopes = Type.Array(Type.String(), {
  minItems: 1,
  description:
    'The operations that the key allows: /accounts/{accountID}/images.read, …/images.write, …/products.read, …/products.write, /accounts.read, /accounts.write, /ping.read. {accountID} stands for each account of the key.',
});
const accounts = Type.Union(
  [Type.Literal('all'), Type.Array(Type.String({ format: 'uuid' }), { maxItems: MAX_KEY_ACCOUNTS })],
  {
    description:
      'The accounts that the key is for. Responses contain only accounts that the credentials of the request may read.',
  },
);
const expiresOn = DateTime('When the key expires. From this moment it is not valid.');

const key = {
  keyID: ID('Identifies the key.'),
  publicKey: Type.String({ description: 'The user name in HTTP Basic, and the client_id in OAuth2.' }),
  name: Name('The name of the key.'),
  accounts,
  scopes,
  createdOn: DateTime('When the key was created.'),
  expiresOn: Type.Optional(expiresOn),
  lastUsedOn: Type.Optional(DateTime('When the key was last used, to within a minute.')),
  revokedOn: Type.Optional(DateTime('When the key was revoked. Absent if it is not revoked.')),
};
const secretKey = Type.String({
  description: 'The secret key. Only this response contains it, so store it now.',
});

export const ApiKeySchema = Type.Object(key, { $id: 'ApiKey', description: 'A key, without its secrets.' });

export const IssuedApiKey = Type.Object(
  { ...key, secretKey },
  { $id: 'IssuedApiKey', description: 'A new key with its secret.' },
);

export const RotatedApiKey = Type.Object(
  { ...key, secretKey, overlapUntil: DateTime('When the previous secret ends.') },
  { $id: 'RotatedApiKey', description: 'A key with its new secret.' },
);

const keyRequest = {
  name: Name(`The name of the key, at most ${MAX_NAME_LENGTH} characters.`),
  scopes: Type.Optional(scopes),
  expiresOn: Type.Optional(expiresOn),
};

export const ApiKeyRequest = Type.Object(keyRequest, {
  $id: 'ApiKeyRequest',
  description:
    'A key to create. It cannot have more rights than the credentials of the request. Default scopes: the images, products and ping scopes of these credentials.',
});

export const ServerKeyRequest = Type.Object(
  { ...keyRequest, accounts: Type.Optional(accounts) },
  {
    $id: 'ServerKeyRequest',
    description: 'A key to create for some accounts, or for all accounts (the default).',
  },
);

export const RotationRequest = Type.Object(
  {
    overlapSeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: MAX_OVERLAP,
        default: DEFAULT_OVERLAP,
        description: 'How long the previous secret stays valid, in seconds.',
      }),
    ),
  },
  { $id: 'RotationRequest', description: 'The settings of a rotation.' },
);

const digest = (description: string) => Type.Optional(Type.String({ description }));
const optionalText = (description: string) => Type.Optional(Type.String({ description }));

export const AuditEntrySchema = Type.Object(
  {
    sequence: Type.Integer({
      description: 'The number of the entry in its trail: 1, 2, 3, without gaps.',
    }),
    on: DateTime('When the change happened.'),
    action: Type.Unsafe<string>({
      type: 'string',
      enum: [...AUDIT_ACTIONS],
      description: 'The action. The part before the dot is the kind of the subject.',
    }),
    accountID: optionalText('The account of the change. Absent if the change affects the server as a whole.'),
    subject: Type.Object(
      { kind: Type.String(), id: Type.String() },
      { description: 'The changed image, product, set of line items, account, key or token.' },
    ),
    by: Type.Object(
      {
        kind: Type.Unsafe<string>({ type: 'string', enum: ['key', 'operator', 'server'] }),
        keyID: optionalText('The key of the request.'),
        tokenID: optionalText('The access token of the request. Absent if it used the secret key.'),
        requestID: optionalText('The x-request-id of the request.'),
        address: optionalText('The address of the client.'),
        name: optionalText('The user name of the operator at the command line.'),
      },
      { description: 'The author of the change: a key, an operator at the command line, or the server.' },
    ),
    before: digest('For images: the SHA-256 of the original before the change.'),
    after: digest('For images: the SHA-256 of the original after the change.'),
    details: Type.Optional(
      Type.Unsafe<Record<string, unknown>>({
        type: 'object',
        additionalProperties: true,
        description: 'More facts about the change. They never contain a secret.',
      }),
    ),
  },
  { $id: 'AuditEntry', description: 'An entry of the audit trail.' },
);

export const MeSchema = Type.Object(
  {
    keyID: ID('The key of the request.'),
    publicKey: Type.String({ description: 'The public key.' }),
    expiresOn: Type.Optional(DateTime('When the key expires. Absent: never.')),
    allAccounts: Type.Optional(
      Type.Unsafe<true>({
        type: 'boolean',
        enum: [true],
        description: 'Present if a scope is for all accounts, also for accounts that are created later.',
      }),
    ),
    scopes: Type.Array(Type.String(), {
      description: 'All scopes. {accountID} in a scope means that it is for all accounts.',
    }),
    accounts: Type.Array(
      Type.Object({
        accountID: ID('An account of the credentials.'),
        displayName,
        scopes: Type.Array(Type.String(), { description: 'The scopes for this account.' }),
      }),
      {
        description:
          'The accounts of the credentials, newest first. For credentials for all accounts, these are the newest 200. Otherwise, suspended accounts are left out.',
      },
    ),
  },
  { $id: 'Me', description: 'The key of the request, and its rights.' },
);

export const AuthToken = Type.Object(
  {
    token_type: Type.Unsafe<'Bearer'>({ type: 'string', enum: ['Bearer'] }),
    access_token: Type.String({ description: 'Send it in the header Authorization: Bearer …' }),
    refresh_token: Type.String({ description: 'Use it once, to get new tokens.' }),
    expires_in: Type.Integer({ description: 'Seconds until the access token expires.' }),
    scope: Type.String({ description: 'The scopes of the access token, separated by spaces.' }),
  },
  { $id: 'AuthToken', description: 'An access token with its refresh token.' },
);

const credentials = {
  client_id: optionalText('The public key. Not needed with HTTP Basic.'),
  client_secret: optionalText('The secret key. Not needed with HTTP Basic.'),
};

export const AuthTokenRequest = Type.Object(
  {
    grant_type: Type.Unsafe<string>({ type: 'string', enum: ['client_credentials', 'refresh_token'] }),
    scope: optionalText(
      'Scopes for the access token, separated by spaces. Default: all scopes of the key or of the refresh token.',
    ),
    refresh_token: optionalText('Required for the grant type refresh_token.'),
    ...credentials,
  },
  { $id: 'AuthTokenRequest', description: 'A request for tokens as in RFC 6749, as JSON or as a form.' },
);

export const RevokeTokenRequest = Type.Object(
  {
    token: Type.String({ description: 'An access token or a refresh token.' }),
    token_type_hint: optionalText('Ignored. The server finds the kind of the token itself.'),
    ...credentials,
  },
  {
    $id: 'RevokeTokenRequest',
    description: 'A request to revoke a token as in RFC 7009, as JSON or as a form.',
  },
);

export const OAuthError = Type.Object(
  {
    error: Type.String({ description: 'A code of RFC 6749, such as invalid_grant.' }),
    error_description: Type.Optional(Type.String({ description: 'What is wrong, as a sentence.' })),
  },
  { $id: 'OAuthError', description: 'An error of the token endpoints.' },
);

/** The schemas that become named components of the OpenAPI document. */
export const ADMINISTRATION_SCHEMAS = [
  AccountSchema,
  AccountRequest,
  AccountPatch,
  ApiKeySchema,
  IssuedApiKey,
  RotatedApiKey,
  ApiKeyRequest,
  ServerKeyRequest,
  RotationRequest,
  AuditEntrySchema,
  MeSchema,
  AuthToken,
  AuthTokenRequest,
  RevokeTokenRequest,
  OAuthError,
];

export const KeyParams = Type.Object({
  accountID: Type.String({ description: 'The account, a UUID.' }),
  keyID: Type.String({ description: 'The key, a UUID.' }),
});
export const ServerKeyParams = Type.Object({ keyID: Type.String({ description: 'The key, a UUID.' }) });

/** The common responses, and one whose body is a named schema or a page of a list of it. */
export function responseOf(status: number, description: string, name: string, list = false) {
  const schema = list ? Type.Array(Type.Ref(name)) : Type.Ref(name);
  return {
    [status]: {
      description,
      ...(list && {
        headers: {
          'X-Total-Count': { schema: { type: 'integer' }, description: 'The number of all elements.' },
          Link: {
            schema: { type: 'string' },
            description: 'The URL of the next page with rel="next". Absent on the last page.',
          },
        },
      }),
      content: { 'application/json': { schema } },
    },
    ...COMMON_RESPONSES,
  };
}

/** The common responses, and 204 without a body. */
export function emptyResponse(description: string) {
  return { 204: describeResponse(description), ...COMMON_RESPONSES };
}

export const CONFLICT = {
  409: {
    description: 'The state of the target does not allow the operation.',
    content: { 'application/json': { schema: Type.Ref('GenericError') } },
  },
};

const oauth = (description: string) => ({
  description,
  content: { 'application/json': { schema: Type.Ref('OAuthError') } },
});

export const OAUTH_RESPONSES = {
  token: {
    ...responseOf(200, 'The tokens.', 'AuthToken'),
    400: oauth('The request, the scope or the refresh token is not valid.'),
    401: oauth('Credentials are missing or not valid.'),
  },
  revoke: {
    ...emptyResponse('The token is not valid any more, or it was not a token of this key.'),
    400: oauth('The request is malformed.'),
    401: oauth('Credentials are missing or not valid.'),
  },
};
