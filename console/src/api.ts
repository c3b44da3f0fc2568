// The calls to this page's own origin. Every failure becomes a Problem: code, message and what to do next.

export interface Problem {
  code: string;
  message: string;
  next: string;
  reference: string;
  status: number;  // 0: there was no answer
}

export interface Me {
  principal: string;
  name: string;
}

// One event of the ledger, as GET /api/v1/ledger/events sends it.
export interface Row {
  index: number;
  time: string;
  outcome: string;  // "allow", "deny"; empty: an event that is no decision
  actor: string;
  action: string;
  resource: string;
  summary: string;
  reason: string;
  decision: string;
  session: string;
}

export interface Clause {
  outcome: 'true' | 'false' | 'error' | 'not reached';
  text: string;
  line: number;
  values: {expression: string; value: string}[];
  error?: string;
}

export interface Policy {
  id: string;
  effect: 'permit' | 'forbid';
  file: string;
  first_line: number;
  last_line: number;
  outcome: string;
  scope: Clause[];
  clauses: Clause[];
}

export interface Explained {
  decision: string;
  revision: number;
  reference: string;
  text: string;
  explanation: {
    sentence: string;
    question: string;
    reason_code: string;
    determining: Policy[];
    failed: Policy[];
    nearest: Policy[];
    notes: string[];
  };
}

export const EVENTS = '/api/v1/ledger/events';
export const ANONYMOUS = 'Wary::Anonymous::"anonymous"';

export type Answer<T> = {ok: true; value: T} | {ok: false; problem: Problem};

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

async function problemOf(response: Response): Promise<Problem> {
  const body: unknown = await response.json().catch(() => null);
  const error = ((body as {error?: Record<string, unknown>} | null)?.error ?? {}) as Record<string, unknown>;
  const next = textOf(error.next);
  const named = textOf(error.reference) || (/^reference ([^;\s]+)/.exec(next)?.[1] ?? '');
  return {
    code: textOf(error.code) || 'http_' + response.status,
    message: textOf(error.message) || 'the answer was ' + response.status,
    next: next.startsWith('reference ') ? '' : next,
    reference: named || (response.headers.get('wary-decision') ?? ''),
    status: response.status,
  };
}

const UNREACHABLE: Problem = {
  code: 'unreachable',
  message: 'wary did not answer',
  next: 'see that it runs, then try again',
  reference: '',
  status: 0,
};

export async function call<T>(method: 'GET' | 'POST', path: string, body?: object): Promise<Answer<T>> {
  try {
    const response = await fetch(path, {
      method,
      headers: {Accept: 'application/json', ...(body ? {'Content-Type': 'application/json'} : {})},
      cache: 'no-store',
      credentials: 'same-origin',
      redirect: 'error',
      ...(body ? {body: JSON.stringify(body)} : {}),
    });
    if (!response.ok) return {ok: false, problem: await problemOf(response)};
    return {ok: true, value: (await response.json()) as T};
  } catch {
    return {ok: false, problem: UNREACHABLE};
  }
}
