// Nobody is signed in: how to get in.
import {useState} from 'preact/hooks';
import {codeOf} from './address';
import type {Problem} from './api';
import {Command} from './command';
import {ProblemText} from './notice';

interface SignInProps {
  problem: Problem | null;
  onward: boolean;
  enter: (code: string) => void;
}

export function SignIn({problem, onward, enter}: SignInProps) {
  const [pasted, setPasted] = useState('');
  return (
    <section class="card narrow">
      <h1>{problem ? 'This link does not sign you in' : 'Open the one-time link you were given'}</h1>
      {problem && <ProblemText problem={problem} />}
      {onward && <p>After signing in in this tab you go on to the application you opened.</p>}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const code = codeOf(pasted);
          if (code) enter(code);
        }}
      >
        <label for="link">One-time link or code</label>
        <div class="joined">
          <input
            id="link"
            type="text"
            autocomplete="off"
            autocapitalize="off"
            spellcheck={false}
            value={pasted}
            onInput={(event) => setPasted(event.currentTarget.value)}
          />
          <button type="submit" class="primary">Sign in</button>
        </div>
      </form>
      <h2>You have no link?</h2>
      <p>Ask whoever runs wary here. This makes one; it works once, for ten minutes:</p>
      <Command text="wary session create NAME" label="Copy" />
    </section>
  );
}
