// Live decisions: the ledger's events as they come, filtered, each with its explanation.
import {useCallback, useEffect, useMemo, useRef, useState} from 'preact/hooks';
import {readView, writeView, type Outcome, type ViewState} from './address';
import {ANONYMOUS, call, type Me, type Row} from './api';
import {DecisionRow, isOpen} from './decision_row';
import {Explanation} from './explanation';
import {Notice} from './notice';
import {KEPT_MAX, LedgerStream, type View} from './stream';

const ANNOUNCE_MS = 5000;

const EMPTY: View = {rows: [], connection: 'connecting', problem: null, paused: false, held: 0, missed: 0};
const CONNECTION = {
  connecting: 'Connecting…',
  live: 'Live',
  reconnecting: 'Connection lost, trying again…',
  refused: 'Refused',
} as const;
const OUTCOMES: readonly (readonly [Outcome, string])[] = [
  ['', 'All'],
  ['allow', 'Allowed'],
  ['deny', 'Denied'],
  ['other', 'Events'],
];

function outcomeOf(row: Row): Outcome {
  return row.outcome === 'allow' || row.outcome === 'deny' ? row.outcome : 'other';
}

function mentions(row: Row, words: string[]): boolean {
  const text = [row.time, row.actor, row.action, row.resource, row.summary, row.reason, row.decision, row.session]
    .join('\n').toLowerCase();
  return words.every((word) => text.includes(word));
}

// What came since the last announcement, said at most every few seconds.
function useAnnouncement(rows: readonly Row[]): string {
  const [text, setText] = useState('');
  const newest = useRef(rows);
  newest.current = rows;
  useEffect(() => {
    let said = -1;
    const timer = setInterval(() => {
      const fresh = newest.current.filter((row) => row.index > said);
      const first = said < 0;
      said = newest.current[0]?.index ?? said;
      if (first || fresh.length === 0) return;
      const denied = fresh.filter((row) => row.outcome === 'deny').length;
      setText(fresh.length + ' new, ' + denied + ' denied');
    }, ANNOUNCE_MS);
    return () => clearInterval(timer);
  }, []);
  return text;
}

function useStream(sessionEnded: () => void): [View, LedgerStream] {
  const [view, setView] = useState<View>(EMPTY);
  const [stream] = useState(() => new LedgerStream(setView));
  useEffect(() => {
    stream.open();
    return () => stream.close();
  }, []);
  useEffect(() => {
    if (view.connection !== 'refused') return;
    // A session that ended and a right that is missing look alike to the stream.
    void call<Me>('GET', '/api/me').then((me) => {
      const out = me.ok ? me.value.principal === ANONYMOUS : me.problem.status === 401;
      if (out) sessionEnded();
    });
  }, [view.connection]);
  return [view, stream];
}

function useAddress(): [ViewState, (change: Partial<ViewState>) => void] {
  const [state, setState] = useState(readView);
  useEffect(() => {
    const arrived = () => setState(readView());
    addEventListener('hashchange', arrived);
    return () => removeEventListener('hashchange', arrived);
  }, []);
  // Rows that did not change keep the function they were drawn with: it reads the state of now.
  const now = useRef(state);
  now.current = state;
  const change = useCallback((part: Partial<ViewState>) => {
    now.current = {...now.current, ...part};
    setState(now.current);
    writeView(now.current);
  }, []);
  return [state, change];
}

interface FilterProps {
  state: ViewState;
  change: (part: Partial<ViewState>) => void;
  counts: Record<Outcome, number>;
}

function Filter({state, change, counts}: FilterProps) {
  return (
    <form class="filter" role="search" onSubmit={(event) => event.preventDefault()}>
      <div class="field">
        <label for="text" class="hidden">Filter by text</label>
        <input
          id="text"
          type="search"
          placeholder="Filter: actor, action, resource, path, reference"
          autocomplete="off"
          spellcheck={false}
          value={state.text}
          onInput={(event) => change({text: event.currentTarget.value})}
        />
      </div>
      <fieldset class="outcomes">
        <legend class="hidden">Outcome</legend>
        {OUTCOMES.map(([outcome, name]) => (
          <label key={outcome} class={'choice is-' + (outcome || 'all')}>
            <input
              type="radio"
              name="outcome"
              checked={state.outcome === outcome}
              onChange={() => change({outcome})}
            />
            <span>{name} <b data-count={outcome || 'all'}>{counts[outcome]}</b></span>
          </label>
        ))}
      </fieldset>
    </form>
  );
}

function Status({view, stream}: {view: View; stream: LedgerStream}) {
  return (
    <div class="status">
      <span class={'connection is-' + view.connection} role="status" data-connection={view.connection}>
        <span class="dot" aria-hidden="true" />
        {CONNECTION[view.connection]}
      </span>
      <button type="button" aria-pressed={view.paused} onClick={() => stream.pause(!view.paused)}>
        {view.paused ? 'Resume' + (view.held > 0 ? ' (' + Math.min(view.held, KEPT_MAX) + ' new)' : '') : 'Pause'}
      </button>
    </div>
  );
}

function Table({rows, state, change}: {rows: readonly Row[]; state: ViewState; change: FilterProps['change']}) {
  return (
    <table role="table">
      <caption class="hidden">Decisions and events, newest first</caption>
      <thead role="rowgroup">
        <tr role="row">
          {['Time', 'Outcome', 'Actor', 'Action', 'Resource', 'Summary', 'Reference'].map((name) => (
            <th key={name} role="columnheader" scope="col">{name}</th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.map((row) => (
          <DecisionRow
            key={row.index}
            row={row}
            open={isOpen(row, state.open)}
            toggle={(open) => change({open})}
          />
        ))}
      </tbody>
    </table>
  );
}

export function Decisions({me, sessionEnded}: {me: Me; sessionEnded: () => void}) {
  const [view, stream] = useStream(sessionEnded);
  const [state, change] = useAddress();
  const matching = useMemo(() => {
    const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    return words.length > 0 ? view.rows.filter((row) => mentions(row, words)) : view.rows;
  }, [view.rows, state.text]);
  const shown = useMemo(
    () => (state.outcome ? matching.filter((row) => outcomeOf(row) === state.outcome) : matching),
    [matching, state.outcome],
  );
  const announcement = useAnnouncement(view.rows);

  if (view.connection === 'refused' && view.problem) {
    return (
      <Notice title="You may not read the ledger" problem={view.problem}>
        <p>
          You are signed in as <strong>{me.name}</strong>. If you need to see decisions, send the reference below to
          whoever runs wary here.
        </p>
      </Notice>
    );
  }
  const counts = {'': matching.length, allow: 0, deny: 0, other: 0};
  for (const row of matching) counts[outcomeOf(row)] += 1;
  // An opened reference that is not among the rows, as from a link someone sent.
  const reference = state.open.startsWith('#') ? '' : state.open.replace(/\.\d+$/, '');
  const elsewhere = reference !== '' && !shown.some((row) => isOpen(row, state.open));
  return (
    <>
      <div class="title">
        <h1>Live decisions</h1>
        <Status view={view} stream={stream} />
      </div>
      <Filter state={state} change={change} counts={counts} />
      {view.missed > 0 && <p class="warning" role="alert">{view.missed} entries of the ledger did not arrive here.</p>}
      {elsewhere && (
        <section class="card">
          <div class="title">
            <h2>Decision <code>{reference}</code></h2>
            <button type="button" onClick={() => change({open: ''})}>Close</button>
          </div>
          <Explanation reference={reference} />
        </section>
      )}
      <p class="hidden" role="status" aria-live="polite">{announcement}</p>
      {shown.length > 0 ? (
        <Table rows={shown} state={state} change={change} />
      ) : (
        <p class="bare">
          {view.rows.length > 0 ? 'Nothing among the last ' + view.rows.length + ' matches.' : 'Nothing has come yet.'}
        </p>
      )}
      <p class="quiet foot">
        The newest {KEPT_MAX} at most. All of them: <code>wary ledger tail --follow</code>
      </p>
    </>
  );
}
