// What stands in the address. All of it is in the fragment, which browsers do not send: a filter, an opened decision, a
// one-time code and a way back are in nobody's log.
export type Outcome = '' | 'allow' | 'deny' | 'other';

export interface ViewState {
  outcome: Outcome;
  text: string;
  open: string;  // the opened decision's reference
}

const CONTINUE_KEY = 'wary.continue';

// Not URLSearchParams: a '+' in a path back is a '+'.
function parts(): Map<string, string> {
  const found = new Map<string, string>();
  for (const part of location.hash.replace(/^#/, '').split('&')) {
    const equals = part.indexOf('=');
    if (equals < 1) continue;
    try {
      found.set(part.slice(0, equals), decodeURIComponent(part.slice(equals + 1)));
    } catch {
      // Not percent-encoded text: not ours.
    }
  }
  return found;
}

export function readView(): ViewState {
  const found = parts();
  const outcome = found.get('outcome') ?? '';
  return {
    outcome: outcome === 'allow' || outcome === 'deny' || outcome === 'other' ? outcome : '',
    text: found.get('q') ?? '',
    open: found.get('open') ?? '',
  };
}

export function writeView(view: ViewState): void {
  const words: string[] = [];
  if (view.outcome) words.push('outcome=' + view.outcome);
  if (view.text) words.push('q=' + encodeURIComponent(view.text));
  if (view.open) words.push('open=' + encodeURIComponent(view.open));
  history.replaceState(null, '', location.pathname + (words.length > 0 ? '#' + words.join('&') : ''));
}

// The code in the address, once: the address and the history forget it here.
export function takeCode(): string {
  const code = parts().get('code') ?? '';
  if (code) history.replaceState(null, '', location.pathname);
  return code;
}

// Only this origin's own /continue: a link made elsewhere cannot use a sign-in here to send someone on.
export function ownPath(path: string): string {
  if (!path.startsWith('/continue?')) return '';
  const url = new URL(path, location.origin);
  return url.origin === location.origin && url.pathname === '/continue' ? url.pathname + url.search : '';
}

export function keepContinue(): void {
  const path = ownPath(parts().get('continue') ?? '');
  if (!path) return;
  sessionStorage.setItem(CONTINUE_KEY, path);
  history.replaceState(null, '', location.pathname);
}

export function hasContinue(): boolean {
  return sessionStorage.getItem(CONTINUE_KEY) !== null;
}

export function takeContinue(): string {
  const path = ownPath(sessionStorage.getItem(CONTINUE_KEY) ?? '');
  sessionStorage.removeItem(CONTINUE_KEY);
  return path;
}

// From a whole link, or the code alone.
export function codeOf(pasted: string): string {
  const text = pasted.trim();
  return /[#&]code=([^&\s]+)/.exec(text)?.[1] ?? text;
}
