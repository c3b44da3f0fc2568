// One event and, when it is opened, why. Drawn again only when something of it changed: hundreds are on the page.
import {Component} from 'preact';
import type {Row} from './api';
import {Explanation} from './explanation';
import {OutcomeMark} from './outcome';

interface RowProps {
  row: Row;
  open: boolean;
  toggle: (open: string) => void;
}

// Wary::User::"alice" is shown as alice; the whole stands in the title and in the opened row.
function short(entity: string): string {
  const found = /^(?:\w+::)*(\w+)::"(.*)"$/.exec(entity);
  if (!found) return entity;
  return found[1] === 'User' || found[1] === 'Anonymous' ? (found[2] ?? '') : found[1] + ' ' + (found[2] ?? '');
}

function clock(time: string): string {
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return time;
  const digits = (value: number, width = 2) => String(value).padStart(width, '0');
  return digits(at.getHours()) + ':' + digits(at.getMinutes()) + ':' + digits(at.getSeconds()) + '.' +
    digits(at.getMilliseconds(), 3);
}

// How the address names an opened row: its reference, and its place in the ledger, for a decision and the cut that ended
// it have one reference. A reference alone opens every row that has it.
function nameOf(row: Row): string {
  return row.decision ? row.decision + '.' + row.index : '#' + row.index;
}

export function isOpen(row: Row, opened: string): boolean {
  return opened !== '' && (opened === nameOf(row) || opened === row.decision);
}

function Facts({row}: {row: Row}) {
  const facts: [string, string][] = [
    ['Time', row.time],
    ['Actor', row.actor],
    ['Action', row.action],
    ['Resource', row.resource],
    ['Reason', row.reason],
    ['Session', row.session],
    ['Ledger', '#' + row.index],
  ];
  return (
    <dl class="facts">
      {facts.filter(([, value]) => value).map(([name, value]) => (
        <div key={name}><dt>{name}</dt><dd>{value}</dd></div>
      ))}
    </dl>
  );
}

export class DecisionRow extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    return next.row !== this.props.row || next.open !== this.props.open;
  }

  override render({row, open, toggle}: RowProps) {
    const id = 'why-' + row.index;
    const flip = () => toggle(open ? '' : nameOf(row));
    return (
      <>
        <tr role="row" class={'row' + (open ? ' is-open' : '')} data-index={row.index}
          onClick={(event) => {
            const target = event.target as Element;
            if (!target.closest('button') && getSelection()?.isCollapsed !== false) flip();
          }}>
          <td role="cell" class="time"><time dateTime={row.time} title={row.time}>{clock(row.time)}</time></td>
          <td role="cell" class="result"><OutcomeMark outcome={row.outcome} /></td>
          <td role="cell" class="actor" title={row.actor}>{short(row.actor) || 'wary'}</td>
          <td role="cell" class="action">{row.action}</td>
          <td role="cell" class="resource" title={row.resource}>{short(row.resource)}</td>
          <td role="cell" class="summary" title={row.summary}>{row.summary}</td>
          <td role="cell" class="why">
            <button type="button" class="expander" aria-expanded={open} aria-controls={open ? id : undefined} onClick={flip}>
              <span class="chevron" aria-hidden="true" />
              <span class="hidden">{row.decision ? 'Explain ' : 'Details of '}</span>
              <code>{row.decision || '#' + row.index}</code>
            </button>
          </td>
        </tr>
        {open && (
          <tr role="row" id={id} class="detail">
            <td role="cell" colSpan={7}>
              <Facts row={row} />
              {row.decision && <Explanation reference={row.decision} />}
            </td>
          </tr>
        )}
      </>
    );
  }
}
