// A page that says what is wrong, its code, what to do next, and the reference to ask about.
import type {ComponentChildren} from 'preact';
import type {Problem} from './api';
import {Command} from './command';

interface NoticeProps {
  title: string;
  problem: Problem;
  children?: ComponentChildren;
}

export function ProblemText({problem}: {problem: Problem}) {
  return (
    <div class="problem" role="alert">
      <p>
        <strong>{problem.message.charAt(0).toUpperCase() + problem.message.slice(1)}</strong> <code class="code">{problem.code}</code>
      </p>
      {problem.next && <p>What to do: {problem.next}</p>}
    </div>
  );
}

export function Notice({title, problem, children}: NoticeProps) {
  return (
    <section class="card narrow">
      <h1>{title}</h1>
      <ProblemText problem={problem} />
      {children}
      {problem.reference && (
        <>
          <p>Reference <code class="reference">{problem.reference}</code></p>
          <Command text={'wary explain ' + problem.reference} />
        </>
      )}
    </section>
  );
}
