// Why one decision came out as it did, asked when it is opened.
import {useEffect, useState} from 'preact/hooks';
import {call, type Answer, type Clause, type Explained, type Policy} from './api';
import {Command} from './command';
import {ProblemText} from './notice';
import {OutcomeMark} from './outcome';

const CLAUSE_MARK = {true: '✓', false: '✗', error: '!', 'not reached': '–'} as const;

function place(policy: Policy): string {
  const range = policy.last_line !== policy.first_line ? '-' + policy.last_line : '';
  return policy.file + ':' + policy.first_line + range;
}

function ClauseLine({clause}: {clause: Clause}) {
  return (
    <li class={'clause is-' + clause.outcome.replace(' ', '-')}>
      <span class="verdict"><span aria-hidden="true">{CLAUSE_MARK[clause.outcome]} </span>{clause.outcome}</span>
      <code>{clause.text.replace(/\s+/g, ' ')}</code>
      <span class="line">line {clause.line}</span>
      {clause.error && <p class="met">{clause.error}</p>}
      {clause.values.map((met) => <p class="met"><code>{met.expression} = {met.value}</code></p>)}
    </li>
  );
}

function Policies({title, policies}: {title: string; policies: Policy[]}) {
  if (policies.length === 0) return null;
  return (
    <section>
      <h2>{title}</h2>
      {policies.map((policy) => (
        <article class="policy">
          <p class="policy-name">
            <span class={'effect is-' + policy.effect}>{policy.effect}</span> <strong>{policy.id}</strong>{' '}
            <code class="place">{place(policy)}</code> <span class="quiet">{policy.outcome}</span>
          </p>
          <ul>
            {policy.scope.concat(policy.clauses).map((clause) => <ClauseLine clause={clause} />)}
          </ul>
        </article>
      ))}
    </section>
  );
}

function Reasons({explained}: {explained: Explained}) {
  const {explanation} = explained;
  return (
    <>
      <p class="sentence">
        <OutcomeMark outcome={explained.decision} /> {explanation.sentence.replace(/^\w+: /, '')}{' '}
        <span class="quiet">({explanation.reason_code}, revision {explained.revision})</span>
      </p>
      <p class="question"><code>{explanation.question}</code></p>
      <Policies title="Decided by" policies={explanation.determining} />
      <Policies title="Failed" policies={explanation.failed} />
      <Policies title="Nearest permits" policies={explanation.nearest} />
      {explanation.notes.map((note) => <p>{note}</p>)}
      <details>
        <summary>As the command line prints it</summary>
        <pre tabIndex={0} aria-label="Explanation as text">{explained.text}</pre>
      </details>
    </>
  );
}

export function Explanation({reference}: {reference: string}) {
  const [answer, setAnswer] = useState<Answer<Explained> | null>(null);
  useEffect(() => {
    let wanted = true;
    setAnswer(null);
    void call<Explained>('GET', '/api/v1/explain/' + encodeURIComponent(reference)).then((came) => {
      if (wanted) setAnswer(came);
    });
    return () => {
      wanted = false;
    };
  }, [reference]);
  return (
    <div class="explanation">
      {answer === null && <p role="status" class="quiet">Asking why…</p>}
      {answer && !answer.ok && <ProblemText problem={answer.problem} />}
      {answer?.ok && <Reasons explained={answer.value} />}
      <Command text={'wary explain ' + reference} />
    </div>
  );
}
