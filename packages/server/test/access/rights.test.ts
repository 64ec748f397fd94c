import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type AccountSet, type Grants, SCOPES, type Scope } from '../../src/access/account.ts';
import {
  covers,
  grantsText,
  intersection,
  isGranted,
  narrowed,
  parseScope,
  type RequestedScope,
  scopeText,
  soleAccount,
} from '../../src/access/rights.ts';

const ACCOUNTS = [
  '3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb',
  '0f0e0d0c-0b0a-4908-8706-050403020100',
  '7cec5bd3-6340-4de4-a923-bf6ec0f7e921',
];

const anyScope = fc.constantFrom(...SCOPES);
const anySet: fc.Arbitrary<AccountSet> = fc.oneof(
  fc.constant('all' as const),
  fc.uniqueArray(fc.constantFrom(...ACCOUNTS)),
);
const anyGrants: fc.Arbitrary<Grants> = fc
  .uniqueArray(fc.tuple(anyScope, anySet), { selector: ([scope]) => scope })
  .map((pairs) => new Map<Scope, AccountSet>(pairs));

/** Every single thing that can be allowed, and an account that nobody names. */
const EVERYTHING = SCOPES.flatMap((scope) => [...ACCOUNTS, 'another'].map((id) => [scope, id] as const));
const allowed = (grants: Grants) => EVERYTHING.map(([scope, id]) => isGranted(grants, scope, id));

describe('rights', () => {
  test('in both are exactly those in each', () => {
    fc.assert(
      fc.property(anyGrants, anyGrants, (one, other) => {
        const [inOne, inOther] = [allowed(one), allowed(other)];
        assert.deepEqual(
          allowed(intersection(one, other)),
          inOne.map((is, index) => is && inOther[index] === true),
        );
      }),
    );
  });

  test('that are narrowed are what was requested, and never more than what is held', () => {
    const anyRequest = fc.array(
      fc.record(
        { scope: anyScope, accountID: fc.constantFrom(...ACCOUNTS) },
        { requiredKeys: ['scope'] },
      ) as fc.Arbitrary<RequestedScope>,
      { minLength: 1 },
    );
    fc.assert(
      fc.property(anyGrants, anyRequest, (held, request) => {
        const narrow = narrowed(held, request);
        const isHeld = request.every(({ scope, accountID }) =>
          accountID === undefined ? held.has(scope) : isGranted(held, scope, accountID),
        );
        assert.equal(narrow !== undefined, isHeld);
        if (narrow === undefined) return;
        assert.deepEqual(
          allowed(narrow),
          EVERYTHING.map(
            ([scope, id]) =>
              isGranted(held, scope, id) &&
              request.some((each) => each.scope === scope && (each.accountID ?? id) === id),
          ),
        );
      }),
    );
  });

  test('cover a key only if they allow all that it does', () => {
    fc.assert(
      fc.property(anyGrants, anySet, fc.uniqueArray(anyScope), (held, accounts, scopes) => {
        const keys: Grants = new Map(scopes.map((scope) => [scope, accounts]));
        const may = allowed(held);
        // An account that is named by nobody stands for all those that there will be.
        const isCovered =
          allowed(keys).every((needed, index) => !needed || may[index]) &&
          (accounts.length > 0 || scopes.every((scope) => held.has(scope)));
        assert.equal(covers(held, { accounts, scopes }), isCovered);
      }),
    );
  });

  test('are written so that they can be read again', () => {
    fc.assert(
      fc.property(
        anyScope,
        fc.option(fc.constantFrom(...ACCOUNTS), { nil: undefined }),
        (scope, accountID) => {
          const text = scopeText(scope, accountID);
          const ofAccount = text.startsWith('/accounts/') && accountID !== undefined;
          assert.deepEqual(parseScope(text), { scope, ...(ofAccount && { accountID }) });
        },
      ),
    );
    const grants: Grants = new Map<Scope, AccountSet>([
      ['images.read', ACCOUNTS.slice(0, 2)],
      ['images.write', 'all'],
      ['ping.read', ACCOUNTS],
    ]);
    const [one, two] = ACCOUNTS;
    assert.equal(
      grantsText(grants),
      `/accounts/${one}/images.read /accounts/${two}/images.read /accounts/{accountID}/images.write /ping.read`,
    );
  });

  test('are not read from what is no scope', () => {
    for (const text of [
      '',
      '/',
      'images',
      '/images.read',
      '/accounts/images.read',
      `/accounts/${ACCOUNTS[0]}/ping.read`,
      `/accounts/${ACCOUNTS[0]}/accounts.read`,
      '/accounts/x/images.read',
      '/accounts/{accountid}/images.read',
      `/accounts/${ACCOUNTS[0]}/images.read/`,
      '__proto__',
    ]) {
      assert.equal(parseScope(text), undefined, text);
    }
  });

  test('are of one account if all of them are', () => {
    const of = (...sets: AccountSet[]) =>
      soleAccount(new Map(sets.map((set, index) => [SCOPES[index] ?? 'ping.read', set])));
    const [one = '', two = ''] = ACCOUNTS;
    assert.equal(of([one], [one]), one);
    assert.equal(of([one], [two]), undefined);
    assert.equal(of([one], 'all'), undefined);
    assert.equal(of('all'), undefined);
    assert.equal(of(), undefined);
    assert.equal(of([one, two]), undefined);
  });
});
