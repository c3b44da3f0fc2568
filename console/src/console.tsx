// Who is here decides what is shown: the way in, or the decisions.
import {render} from 'preact';
import {useCallback, useEffect, useState} from 'preact/hooks';
import {hasContinue, keepContinue, takeCode, takeContinue} from './address';
import {ANONYMOUS, call, type Me, type Problem} from './api';
import {Decisions} from './decisions';
import {Notice} from './notice';
import {SignIn} from './sign_in';
import './console.css';

type Stage =
  | {is: 'starting'}
  | {is: 'out'; problem: Problem | null}
  | {is: 'unreachable'; problem: Problem}
  | {is: 'in'; me: Me};

async function begin(code: string): Promise<Stage | null> {
  if (code) {
    const signed = await call<object>('POST', '/api/signin', {code});
    if (!signed.ok) return {is: 'out', problem: signed.problem};
  }
  const me = await call<Me>('GET', '/api/me');
  if (!me.ok) {
    return me.problem.status === 401 ? {is: 'out', problem: null} : {is: 'unreachable', problem: me.problem};
  }
  if (me.value.principal === ANONYMOUS) return {is: 'out', problem: null};
  const onward = takeContinue();
  if (!onward) return {is: 'in', me: me.value};
  location.replace(onward);
  return null;
}

function Console() {
  const [stage, setStage] = useState<Stage>({is: 'starting'});
  const start = useCallback(async (given: string) => {
    keepContinue();
    const next = await begin(given || takeCode());
    if (next) setStage(next);
  }, []);
  useEffect(() => {
    void start('');
    // A link pasted into this tab changes only the fragment: the page is not loaded again.
    const arrived = () => {
      if (/^#(code|continue)=/.test(location.hash)) void start('');
    };
    addEventListener('hashchange', arrived);
    return () => removeEventListener('hashchange', arrived);
  }, []);
  const signOut = useCallback(async () => {
    const ended = await call<object>('POST', '/api/signout');
    if (ended.ok) return setStage({is: 'out', problem: null});
    // The session's end can cut the very connection that would have said so: what counts is who is here now.
    const me = await call<Me>('GET', '/api/me');
    const out = me.ok && me.value.principal === ANONYMOUS;
    setStage(out ? {is: 'out', problem: null} : {is: 'unreachable', problem: ended.problem});
  }, []);

  const me = stage.is === 'in' ? stage.me : null;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => {
        event.preventDefault();
        document.getElementById('main')?.focus();
      }}>Skip to content</a>
      <header class="top">
        <span class="brand"><span class="mark" aria-hidden="true" />wary</span>
        {me && (
          <div class="who">
            <span title={me.principal}><span class="hidden">Signed in as </span>{me.name}</span>
            <button type="button" class="plain" onClick={() => void signOut()}>Sign out</button>
          </div>
        )}
      </header>
      <main id="main" tabIndex={-1}>
        {stage.is === 'starting' && <p class="bare" role="status">Loading…</p>}
        {stage.is === 'out' && (
          <SignIn problem={stage.problem} onward={hasContinue()} enter={(code) => void start(code)} />
        )}
        {stage.is === 'unreachable' && (
          <Notice title="wary did not answer" problem={stage.problem}>
            <button type="button" class="primary" onClick={() => void start('')}>Try again</button>
          </Notice>
        )}
        {me && <Decisions me={me} sessionEnded={() => setStage({is: 'out', problem: null})} />}
      </main>
    </>
  );
}

const place = document.getElementById('console');
if (place) render(<Console />, place);
