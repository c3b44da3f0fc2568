// The ledger's events as they are committed: in order, none twice, at most KEPT_MAX of them kept, newest first.
//
// The browser comes back by itself with Last-Event-ID when a connection breaks. It gives up when it is answered with
// an error; then this asks what the error is, and either reports it or comes back with ?after= itself.
import {EVENTS, call, type Problem, type Row} from './api';

export const KEPT_MAX = 500;
const FIRST_LOAD = 200;
const BATCH_MS = 100;
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 15000;

export type Connection = 'connecting' | 'live' | 'reconnecting' | 'refused';

export interface View {
  rows: readonly Row[];
  connection: Connection;
  problem: Problem | null;  // why it was refused
  paused: boolean;
  held: number;             // came while paused
  missed: number;           // entries between two that came: there should be none
}

export class LedgerStream {
  private source: EventSource | null = null;
  private rows: Row[] = [];
  private coming: Row[] = [];  // newest last
  private last = -1;
  private missed = 0;
  private connection: Connection = 'connecting';
  private problem: Problem | null = null;
  private paused = false;
  private batch = 0;
  private retry = 0;
  private retryMs = RETRY_MIN_MS;

  constructor(private readonly changed: (view: View) => void) {}

  open(): void {
    this.close();
    const source = new EventSource(EVENTS + (this.last < 0 ? '?last=' + FIRST_LOAD : '?after=' + this.last));
    this.source = source;
    source.onopen = () => {
      this.retryMs = RETRY_MIN_MS;
      this.connection = 'live';
      this.tell();
    };
    source.onmessage = (event: MessageEvent<string>) => this.take(event);
    source.onerror = () => {
      if (this.source !== source) return;
      if (this.connection === 'live') this.connection = 'reconnecting';
      if (source.readyState === EventSource.CLOSED) void this.ask();
      this.tell();
    };
  }

  close(): void {
    this.source?.close();
    this.source = null;
    window.clearTimeout(this.retry);
  }

  pause(paused: boolean): void {
    this.paused = paused;
    this.show();
  }

  private take(event: MessageEvent<string>): void {
    let row: Row;
    try {
      row = JSON.parse(event.data) as Row;
    } catch {
      return;
    }
    if (!(row.index > this.last)) return;
    if (this.last >= 0) this.missed += row.index - this.last - 1;
    this.last = row.index;
    this.coming.push(row);
    if (this.coming.length > 2 * KEPT_MAX) this.coming = this.coming.slice(-KEPT_MAX);
    if (this.batch === 0) this.batch = window.setTimeout(() => this.show(), BATCH_MS);
  }

  private show(): void {
    window.clearTimeout(this.batch);
    this.batch = 0;
    if (!this.paused && this.coming.length > 0) {
      this.rows = this.coming.reverse().concat(this.rows).slice(0, KEPT_MAX);
      this.coming = [];
    }
    this.tell();
  }

  // The browser does not say why it gave up; the same question without the stream does.
  private async ask(): Promise<void> {
    this.close();
    const answer = await call<unknown>('GET', EVENTS + '?last=0');
    if (!answer.ok && (answer.problem.status === 401 || answer.problem.status === 403)) {
      this.connection = 'refused';
      this.problem = answer.problem;
      return this.tell();
    }
    this.connection = 'reconnecting';
    this.retry = window.setTimeout(() => this.open(), this.retryMs);
    this.retryMs = Math.min(this.retryMs * 2, RETRY_MAX_MS);
    this.tell();
  }

  private tell(): void {
    this.changed({
      rows: this.rows,
      connection: this.connection,
      problem: this.problem,
      paused: this.paused,
      held: this.coming.length,
      missed: this.missed,
    });
  }
}
