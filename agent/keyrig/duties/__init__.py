"""The duties after Commissioning: rules, facts, the plan, and the consequences of outcomes."""
